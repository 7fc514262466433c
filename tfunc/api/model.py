"""A trained method of a run as an object: `tfunc.load("runs/brats", method="baseline_mc").predict(image)`."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from data_prep import arrays, grid, map_files, place
from data_prep.base import mirrors, processes
from data_prep.base.errors import NotReady, UserError, command
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc import methods, networks, runs
from tfunc.api import arguments, one_subject
from tfunc.api.maps import Maps
from tfunc.api.one_subject import Modalities
from tfunc.maps import artefact
from tfunc.maps.options import SUBJECT_SEEDS, Options, check_seed
from tfunc.methods import Method
from tfunc.nets import engine
from tfunc.nets import precision as precisions
from tfunc.scoring import recalibration, triage
from tfunc.scoring.triage import Known

if TYPE_CHECKING:
    from tfunc.maps.predictor import Predictor
    from tfunc.maps.recalibrated import Applied
    from tfunc.nets.trained import Trained

Paths = Sequence[pathlib.Path | str]


@arguments.named
def load(
    run_dir: pathlib.Path | str,
    method: str | Method = "baseline",
    *,
    recalibrated: bool = False,
    batch_size: int = 16,
    precision: str = precisions.FLOAT32,
    own_engine: str = engine.TENSORFLOW,
) -> Model:
    """A method of a run, its networks loaded once.

    run_dir: the run, as `train` and `study` write it, a path or a URL; it says itself which data set it is of. method: its
    name, one of `tfunc.methods()`, or a `Method` of one's own. recalibrated: probabilities at the temperature that `recalibrate`
    fitted, and volumes with its intervals. batch_size: slices at a time. precision: `float32`, `bfloat16` or `auto`. own_engine:
    what runs the networks, `tensorflow` or `openvino`.

    Raises `NotReady` for networks that are not trained, naming the command, and `UserError` for an unknown method, a run of
    which there is none, and weights that are not as the training wrote them.

        >>> maps = tfunc.load("demo/run", method="baseline_mc").predict("patients/Phantom18_000_1", samples=4)
        >>> maps.uncertainty.shape == maps.prediction.shape, sorted(maps.volume_ml)
        (True, ['whole'])
    """
    found = methods.get(method) if isinstance(method, str) else method
    if not isinstance(found, Method):
        raise UserError("method", expected="a name or a Method", found=repr(method))
    if precision not in precisions.OF_MAPS:
        raise UserError("precision", expected=f"one of {', '.join(precisions.OF_MAPS)}", found=repr(precision))
    if own_engine not in engine.ENGINES:
        raise UserError("own_engine", expected=f"one of {', '.join(engine.ENGINES)}", found=repr(own_engine))
    run_dir = mirrors.here(run_dir, functools.partial(_is_read, found.networks))
    dataset = _dataset(run_dir, found)
    processes.start_quietly()
    from tfunc.maps import predict
    from tfunc.maps import recalibrated as temperatures
    from tfunc.nets import trained

    options = Options(batch_size=batch_size, precision=precision, engine=own_engine, recalibrated=recalibrated)
    options = predict.settled(options, None, None, lambda line: None)
    loaded = trained.load_all(run_dir, found.networks, dataset)
    if loaded[0].config.task.order is None and not loaded[0].config.task.is_photograph:
        arguments.warn(predict.UNKNOWN_ORDER)
    applied = None
    if recalibrated:
        fitted = recalibration.stored(run_dir, found.name)
        if fitted is not None and found.sampled:  # a temperature is of so many samples
            options = dataclasses.replace(options, samples=fitted.made_by["samples"])
        asked = predict.document(found, options, loaded)
        applied = temperatures.of_method(run_dir, dataset, found.name, loaded[0].config.task, asked)
    return Model(found, loaded, options, applied, run_dir)


def _is_read(names, name):
    """Whether predicting with networks of these names, and those that they stand on, reads a file of a run, by its name in it."""
    top, *below = name.split("/")
    if top == "networks" and below:  # config.json of any tells which data set the run is of
        bases = [other for own in names if own in networks.SINGLE for other in networks.SINGLE[own].needs]
        return below[-1].endswith(".json") or below[0].startswith((*names, *bases))
    return top == "recalibration" or (top != "predictions" and name.endswith(".json"))


def _dataset(run_dir, method):
    """The data set that a run is of, by the method's first network, or by any where that one is not there."""
    first = method.networks[0]
    own = networks.FAMILIES[first](0, 1).name if first in networks.FAMILIES else first
    folders = [
        runs.network_dir(run_dir, own),
        *sorted(path.parent for path in run_dir.glob(f"networks/*/{runs.CONFIG}")),
    ]
    for folder in folders:
        if (folder / runs.CONFIG).exists():
            return runs.read_config(folder).task.name
    found = "no network in it" if run_dir.is_dir() else "nothing"
    do = ("train one, e.g. ", command("train", method=method.name, dataset="NAME", run_dir=str(run_dir)))
    raise NotReady(run_dir, expected="a run with trained networks", found=found, do=do)


class Model:
    """A method whose networks are loaded. `load` makes one.

    method: the row of the table. task: what it segments from what: channels, classes, regions. networks: their names.
    """

    def __init__(
        self,
        method: Method,
        loaded: list[Any],
        options: Any,
        applied: Any = None,
        run_dir: pathlib.Path | str = "",
    ):
        """What `load` found in a run: `Trained` networks, `Options`, and `Applied` where it is asked for."""
        self.method: Method = method
        self.task: Task = loaded[0].config.task
        self.networks: tuple[str, ...] = tuple(one.name for one in loaded)
        self._loaded: list[Trained] = loaded
        self._options: Options = options
        self._applied: Applied | None = applied
        self._run_dir = run_dir
        self._predictors: dict[int, Predictor] = {}
        checksums = {one.name: one.checksum for one in loaded}
        self._about = artefact.about({"method": method.name, "kind": method.kind, "networks": checksums})

    def __repr__(self) -> str:
        count = len(self.networks)
        return f"<Model {self.method.name} of {self.task.name}, {count} network{'s' * (count != 1)}>"

    @overload  # a sequence of text is an array to NumPy, and is meant as paths here
    def predict(  # type: ignore[overload-overlap]
        self, image: Paths, samples: int | None = ..., seed: int = ..., *, modalities: Modalities | None = ...
    ) -> list[Maps]: ...

    @overload
    def predict(
        self, image: ArrayLike | pathlib.Path | str, samples: int | None = ..., seed: int = ...,
        spacing: Sequence[float] | None = ..., affine: ArrayLike | None = ..., name: str | None = ...,
        *, modalities: Modalities | None = ...,
    ) -> Maps: ...  # fmt: skip

    @arguments.named
    def predict(
        self,
        image: Any,
        samples: int | None = None,
        seed: int = 20,
        spacing: Sequence[float] | None = None,
        affine: ArrayLike | None = None,
        name: str | None = None,
        *,
        modalities: Modalities | None = None,
    ) -> Maps | list[Maps]:
        """The maps of a subject, or of several.

        image: an array [depth, height, width, channels] in the order of `task.channels`, raw intensities; of a photograph uint8
        [height, width, channels]; or the path of a subject, as `predict --input` takes it; or a list of such paths, which gives
        a list. samples: passes of a method that samples; None: 20, or as many as its recalibration was fitted on. seed: of its
        samples; with the name it decides them, so the same file gives the same maps as the program. spacing, affine, name: of an
        array (`data_prep.arrays.subject`); the name is `image` by default. modalities: {channel: file} where the names of a
        subject's files don't tell, relative to its folder or absolute, of DICOM a series' folder, number or description, as
        `predict --modalities` takes it; of a list of paths each subject's are so called.

        Raises `UserError` for what cannot be predicted: another shape, other channels, values that are not finite, a file that
        is broken, a path with no or several subjects, modalities that are not each channel once.
        """
        check_seed(seed, SUBJECT_SEEDS)
        number = self._number(samples)
        is_path = one_subject.are_paths(image)
        one_subject.require_own(is_path, (spacing, affine, name), modalities)
        if is_path and isinstance(image, (list, tuple)):
            return [self._of_path(one, number, seed, modalities) for one in image]
        if is_path:
            return self._of_path(image, number, seed, modalities)
        subject = arrays.subject(image, self.task, name or "image", spacing, affine)
        return self._of(subject, number, seed)

    def _number(self, samples):
        """How many samples are drawn; raises `UserError` for another number than a recalibration is of."""
        own = self._options.samples
        if samples is not None and samples != own and self._applied is not None and self.method.sampled:
            do = "leave it out, or recalibrate maps of that many"
            raise UserError("samples", expected=f"{own}, as the recalibration was fitted on", found=str(samples), do=do)
        return own if samples is None else samples

    def _of_path(self, path, samples, seed, modalities):
        """The maps of the one subject at a path; of DICOM images they keep which they are of."""
        from tfunc.maps import predict

        config = self._loaded[0].config
        subject, images = one_subject.read(path, self.task, config.input, modalities)
        maps = self._of(subject, samples, seed)
        if not images:
            return maps
        options = self._predictor(samples).options
        applied = self._applied.document() if self._applied else None
        made_with = predict.document(self.method, options, self._loaded, recalibrated=applied)
        return dataclasses.replace(maps, images=images, made_with=made_with)

    def _of(self, subject: Subject, samples: int, seed: int) -> Maps:
        from tfunc.maps import packed
        from tfunc.nets import memory

        made = self._predictor(samples)
        made.options = dataclasses.replace(made.options, seed=seed)
        with memory.enough(self.method.name, {"batch_size": made.options.batch_size}):
            ((_, found),) = made.subjects([subject])
        spreads = packed.of_subject(found, subject, self.task)
        maps = grid.on_own_grid(
            subject, {name: found[name] for name in (*map_files.MAPS, map_files.MUTUAL) if name in found}
        )
        if self._applied is not None:
            maps.pop(map_files.MUTUAL, None)  # of the probabilities as they were drawn
            maps = self._applied.change(maps)
        maps["prediction"] = map_files.labels_of(self.task)[maps["prediction"]]
        return self._said(subject, maps, spreads, made.options)

    def _predictor(self, samples: int) -> Predictor:
        """The graph for so many samples, traced once."""
        from tfunc.maps import predictor

        number = samples if self.method.sampled else 0
        if number not in self._predictors:
            options = dataclasses.replace(self._options, samples=samples)
            made = predictor.of_networks(self.method, self._loaded, options)
            made.more = {map_files.MUTUAL: np.float32}
            self._predictors[number] = made
        return self._predictors[number]

    def _known(self, options: Options) -> Known:
        """What the run's evaluation knows of maps that are made so, as it is now."""
        from tfunc.maps import predict

        name = self.method.name + methods.RECALIBRATED * (self._applied is not None)
        return triage.known(self._run_dir, name, predict.document(self.method, options, self._loaded))

    def _said(self, subject, maps, spreads, options):
        from tfunc.maps import patient, patient_scores

        native = subject.native()
        shown = self.task.show[0] if self.task.show else self.task.channels[0].name
        image = np.asarray(native.image[..., self.task.index(shown)], np.float32)
        scores = patient_scores.of_maps(self.method.kind, subject, maps, self.task, spreads)
        certified = self._applied and self._applied.volumes(subject, maps["prediction"])
        said = patient.document(subject, maps, self.task, scores, spreads, certified, self._known(options))
        volumes, intervals = _volumes(said["volumes"]) if subject.header is not None else ({}, None)
        return Maps(
            name=subject.name,
            method=self.method,
            task=self.task,
            prediction=maps["prediction"],
            probability=maps["probability"],
            uncertainty=maps["uncertainty"],
            mutual_information=maps.get(map_files.MUTUAL),
            affine=None if subject.header is None else place.of_block(subject.header, subject.source),
            volume_ml=volumes,
            volume_interval=intervals,
            scores=scores,
            patient=said,
            source_size=subject.source_size,
            image=image,
            header=subject.header,
            about=self._about,
        )


def _volumes(said):
    """({region: ml}, {region: (low, high)} or None where there are no intervals) of a patient's document."""
    intervals = {name: (one["low"], one["high"]) for name, one in said.items() if one["low"] is not None}
    return {name: float(one["volume"]) for name, one in said.items()}, intervals or None
