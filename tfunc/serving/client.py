"""One patient's folder or one photograph -> a served model -> the maps, where and as `predict --input` writes them.

The whole volume goes to the server in its own intensities, on the grid of the model's task, and comes back voxel by voxel; maps
are brought back to the patient's own grid and get the header of the first file, so they lie on it. The model says itself what
it was trained on. TensorFlow is not needed here, unless the connection is gRPC's.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from data_prep import grid, label_colours, map_files, place
from data_prep.base import artefacts
from data_prep.base.errors import Faults, UserError, command
from data_prep.readers import finding, photographs
from data_prep.tasks import Task
from tfunc import __version__
from tfunc.maps import patient, patient_scores
from tfunc.serving import answers, transport
from tfunc.serving import described as model
from tfunc.serving.description import takes_statistics

AS_IS = model.AS_IS
ENCODED = (".jpg", ".jpeg", ".png")  # what TensorFlow's servers are sure to read


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back for one subject.

    name: of its files. maps: {map: array [depth, height, width], or [height, width] of a photograph}, the segmentation's of
    labels; a probability of several classes has them last and, of a photograph, a first axis of one. header: of the first
    file, None for a photograph. own_size: a photograph's maps at its own size, if they were asked for.
    document: what the JSON beside the maps says.
    """

    name: str
    maps: dict[str, np.ndarray]
    header: bytes | None
    own_size: dict[str, np.ndarray]
    document: dict[str, Any]


def request(
    connection: transport.Connection,
    dataset: Task | None,
    path: pathlib.Path | str,
    out_dir: pathlib.Path | str,
    full_size: bool = False,
    order: str | None = None,
    say: Callable[[str], object] = print,
) -> Answer:
    """As `requests` for the one subject that lies at `path`; raises `UserError` naming them where there are several."""
    question, sources = _asked(connection, dataset, path, out_dir, full_size, order, say)
    if len(sources) > 1:
        names = ", ".join(source.name for source in sources[:3]) + (", …" if len(sources) > 3 else "")
        raise UserError(path, expected="one subject", found=f"{len(sources)}: {names}", do="give the files of one")
    return question.written(sources[0], pathlib.Path(out_dir))


def requests(
    connection: transport.Connection,
    dataset: Task | None,
    path: pathlib.Path | str,
    out_dir: pathlib.Path | str,
    full_size: bool = False,
    order: str | None = None,
    say: Callable[[str], object] = print,
) -> Iterator[Answer]:
    """Asks for the maps of each subject that lies at `path`; writes `<subject>_<map>.nii.gz`, and last `<subject>.json`.

    connection: of `transport.connect`. dataset: what the model was trained on, needed only for one that does not say it.
    path: of a subject's folder or image, or of a folder of them. full_size: photographs, also PNG maps at their own size.
    order: volumes, the voxel order that the model was trained in, or `AS_IS`, for one that doesn't tell; None: what it
    tells. say: called with a line for the user.
    Of a subject nothing is written before everything has come back whole. Raises `UserError` for a bad subject, and for any
    failure of the server; of several subjects `Faults` at the end for those that can't be read.
    """
    question, sources = _asked(connection, dataset, path, out_dir, full_size, order, say)
    faults = dict(question.faults)
    for source in sources:
        try:
            prepared = question.prepared(source)
        except UserError as error:
            if len(sources) == 1 and not faults:
                raise
            say(f"{source.name}: {error}")
            faults[source.name] = error
            continue
        yield question.written(source, pathlib.Path(out_dir), prepared)
    if faults:
        raise Faults(faults)


def _asked(connection, dataset, path, out_dir, full_size, order, say):
    """(the question, the sources that lie at `path`); all that can be refused is refused before anything is sent."""
    path = pathlib.Path(path)
    finding.places(path)  # before the server is asked
    _require_writable(pathlib.Path(out_dir))
    served = model.served(connection, dataset, order)
    if full_size and not served.task.is_photograph:
        raise UserError("--full_size", expected="a model of photographs", found=f"one of {served.task.name}")
    sources, faults = finding.new_at(served.task.load_reader(), path, None, served.task)
    for name, fault in faults.items():
        say(f"{name}: {fault}")
    return _Question(connection, served, path, full_size, say, faults), sources


def _require_writable(folder):
    """Before minutes of waiting, and not after; makes nothing, since the request may yet fail."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(folder, expected="a folder for the maps", found=f"a file, {existing}")
    if not os.access(existing, os.W_OK):
        raise UserError(folder, expected="a folder that can be written", found=f"{existing}, which can't")


@dataclasses.dataclass(frozen=True)
class _Lying:
    """A photograph, as `patient_scores.Lying` asks."""

    header: bytes | None
    source: str


@dataclasses.dataclass(frozen=True)
class _Question:
    """What every subject is asked with. path: where they were looked for. faults: of those that can't be asked for."""

    connection: transport.Connection
    served: model.Served
    path: pathlib.Path
    full_size: bool
    say: Callable[[str], object]
    faults: dict[str, UserError]

    @property
    def task(self):
        return self.served.task

    def prepared(self, source):
        """What a subject's files hold: a `Subject`, or the pixels of a photograph."""
        if self.task.is_photograph:
            return _pixels(source)
        return self.task.load_reader().load(source, {"order": self.task.order}, self.task)

    def written(self, source, folder, prepared=None):
        """The `Answer` for a subject, once its files are there."""
        prepared = self.prepared(source) if prepared is None else prepared
        answer = (self._photograph if self.task.is_photograph else self._volume)(source, prepared)
        several = not self.task.is_binary
        label_colours.write(folder, self.task)
        served = f"tfunc {__version__}, served {self.connection.model}, {answer.document['version']}"
        about = map_files.About(self.served.made_by or served)
        map_files.write(folder, answer.name, answer.maps, answer.header, answer.own_size, several, about)
        artefacts.write_document(folder / f"{answer.name}.json", answer.document)
        return answer

    # --------------------------------------------------------------------------------------------------------- volumes

    def _volume(self, source, subject):
        """A patient's `Answer`. Voxels travel as bytes where they can, and float16 maps back; over gRPC fractions as floats."""
        if subject.permuted_note:
            self.say(subject.permuted_note)
        image = _whole(subject.image)
        signature, inputs = self._sent(image)
        if takes_statistics(self.task) and self.served.speaks:  # measured before the volume was resampled
            inputs |= {"mean": subject.mean[np.newaxis], "deviation": subject.std[np.newaxis]}
        outputs, version = self._ask(signature, inputs, f"{image.nbytes / 1e6:.0f} MB")
        read = answers.packed if signature == "subject_bytes" else answers.plain
        maps = read(self.connection, outputs, image.shape[:3], self.task)
        numbers = answers.summary(self.connection, outputs, self.task)
        maps = grid.on_own_grid(subject, maps)
        if subject.own_size is not None:  # the server has seen another grid than the maps have
            numbers = answers.measured(maps, self.task)
        affine = place.of_block(subject.header, "the patient's first modality")
        cubic_mm = float(abs(np.linalg.det(affine[:3, :3])))
        written = self._labelled(maps)
        document = {
            **self._origin(version, signature, subject.source),
            **answers.document(numbers, self.task, cubic_mm),
            **self._said(subject, written),
        }
        return Answer(subject.name, written, subject.header, {}, document)

    def _sent(self, image):
        """(signature, inputs) for a volume."""
        shape = np.array([image.shape], np.int64)
        if image.dtype == np.int16:
            voxels = np.ascontiguousarray(image, "<i2").tobytes()
        elif isinstance(self.connection, transport.Grpc):
            return "subject", {"volume": image[np.newaxis].astype(np.float32, copy=False)}
        elif self.served.speaks:
            voxels = np.ascontiguousarray(image, "<f4").tobytes()
        else:
            raise UserError(
                self.path,
                expected="whole numbers within int16, which REST can carry as bytes",
                found="fractions" if np.abs(image).max() < 2**15 else f"intensities up to {image.max():g}",
                do="use gRPC: --server=grpc://host:8500",
            )
        return "subject_bytes", {"volume": [voxels], "shape": shape}

    # ----------------------------------------------------------------------------------------------------- photographs

    def _photograph(self, source, pixels):
        """A photograph's `Answer`: maps at network size and, if asked for, at its own."""
        file = pathlib.Path(source.image)
        own_bytes = len(source.paths) == 1 and file.suffix.lower() in ENCODED
        encoded = file.read_bytes() if own_bytes else _as_png(pixels)
        inputs, size = {"images": [encoded]}, f"{len(encoded) / 1e6:.1f} MB"
        outputs, version = self._ask("encoded", inputs, size)
        found = outputs.get("probability")
        axes = 3 if self.task.is_binary else 4
        if not isinstance(found, np.ndarray) or found.ndim != axes:
            form = "(1, height, width)" if self.task.is_binary else "(1, height, width, classes)"
            raise answers.wrong(self.connection, f"probability of shape {form}", answers.described(found))
        maps = answers.plain(self.connection, outputs, found.shape[1:3], self.task)
        own_size = {}
        if self.full_size:
            outputs, _ = self._ask("encoded_full", inputs, size)
            own_size = self._labelled(answers.plain(self.connection, outputs, pixels.shape[:2], self.task))
        if not self.task.is_binary:
            maps["probability"] = maps["probability"][np.newaxis]
            if own_size:  # a picture shows one number a pixel: of all that is no background
                own_size["probability"] = 1 - own_size["probability"][..., 0]
        written = self._labelled(maps)
        document = self._origin(version, "encoded", source.image) | self._said(_Lying(None, str(source.image)), written)
        return Answer(source.name, written, None, own_size, document)

    # ------------------------------------------------------------------------------------------------------------ both

    def _ask(self, signature, inputs, size):
        """(outputs, version of the model that gave them); `UserError` for a model that cannot be meant."""
        connection = self.connection
        version, signatures = connection.describe()
        if signature not in signatures:
            raise UserError(
                f"{connection.name}, model {connection.model}",
                expected=(
                    "a model of ",
                    command("export", dataset=self.task.name),
                    f", with the signature {signature}",
                ),
                found=", ".join(sorted(signatures)) or "no signatures",
                do="check --model and --dataset",
            )
        name = f"{connection.name}, model {connection.model}, version {version}"
        self.say(f"{name}: sending {size}, then waiting for the maps")
        return connection.predict(signature, inputs), version

    def _said(self, subject, maps):
        """What `predict` would say of the subject as a whole; without the samples' volumes, which a server does not send."""
        kind, maps = self.served.kind, {name: v[np.newaxis] if v.ndim == 2 else v for name, v in maps.items()}
        scores = patient_scores.of_maps(kind, subject, maps, self.task, None) if kind else None
        return patient.document(subject, maps, self.task, scores, known=self.served.known)

    def _labelled(self, maps):
        """Maps whose segmentation holds the labels that files are written with, in place of classes."""
        return {**maps, "prediction": map_files.labels_of(self.task)[maps["prediction"]]}

    def _origin(self, version, signature, source):
        return {
            "server": self.connection.name,
            "model": self.connection.model,
            "version": version,
            "signature": signature,
            "source": str(source),
        }


def _whole(image):
    """A float image as int16 where that changes nothing: BraTS 2023 stores whole numbers as float32."""
    if image.dtype == np.int16 or image.min() < -(2**15) or image.max() >= 2**15:
        return image
    whole = image.astype(np.int16)
    return whole if np.array_equal(whole, image) else image


def _pixels(source):
    """uint8 [height, width, 3] of a photograph, checked; of grey files of three channels one of each."""
    read = [photographs.read_photograph(path, photographs.ANY) for path in source.paths]
    return read[0] if len(read) == 1 else np.stack([photographs.read_grey(path) for path in source.paths], axis=-1)


def _as_png(pixels):
    """TensorFlow's servers are sure to read JPEG and PNG, and PNG loses nothing."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
