"""Writing the maps of some subjects of prepared records: in this process, or a few at a time in workers.

A worker keeps the networks that it has loaded. What it loses when it is killed are the subjects it was at, which another worker
then predicts: maps do not depend on who makes them, nor, but for rounding, on which subjects share a batch.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence

from data_prep import records
from data_prep.base import pool
from data_prep.base.ahead import one_ahead
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress
from data_prep.records import Manifest
from tfunc import runs
from tfunc.maps import artefact, predictor, writing
from tfunc.maps.options import Options
from tfunc.maps.predictor import Predictor
from tfunc.methods import Method
from tfunc.nets import devices, memory
from tfunc.nets.trained import Trained

WRITERS = 2  # threads: gzip takes longer than reading, and leaves Python's lock
MakePool = Callable[[], contextlib.AbstractContextManager[concurrent.futures.Executor]]


@dataclasses.dataclass(frozen=True)
class Work:
    """What every worker is told: by what maps are made, of what, and where they go.

    order: the voxel order that subjects are brought to, None for that of the records. asked: what the maps are
    (`artefact.document`), by whose checksums of networks a worker knows whether it has loaded those. devices: the user's.
    """

    method: Method
    dataset: str
    data_dir: str
    run_dir: str
    folder: str
    options: Options
    order: str | None
    asked: runs.Document
    devices: tuple[str, ...] | None = None

    def write(
        self, made: Predictor, loaded: Sequence[Trained], manifest: Manifest, names: Sequence[str]
    ) -> Iterator[None]:
        """Writes the maps of these subjects; yields after each.

        The next subject is read and those before are written while the networks are at work on one.
        """
        task, about = loaded[0].config.task, artefact.about(self.asked)
        read = records.read_subjects(self.data_dir, manifest, list(names))
        subjects = (subject.in_order(self.order) if self.order else subject for subject in read)

        def write(found):
            writing.write_maps(self.folder, *found, self.options.full_size, task, self.options.names, about=about)

        sizes = {"batch_size": self.options.batch_size}
        with memory.enough(self.method.name, sizes), concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
            for _ in pool.results(writers, write, made.subjects(one_ahead(subjects)), ahead=WRITERS):
                yield


def write_in_workers(work: Work, manifest: Manifest, names: Sequence[str], make_pool: MakePool, bar: Progress) -> None:
    """Writes the maps of these subjects on a pool's workers; `bar` advances by a subject each."""
    with make_pool() as executor:
        for part in pool.unordered(executor, functools.partial(_write, work), parts(work.options, manifest, names)):
            bar.advance(len(part), note=part[-1])


def parts(options: Options, manifest: Manifest, names: Sequence[str]) -> Iterator[list[str]]:
    """The subjects in the parts that a worker predicts at a time: one each, of photographs as many as fill a batch."""
    part: list[str] = []
    slices = 0
    for name in names:
        part.append(name)
        slices += manifest.subject(name).slices
        if slices >= options.batch_size:
            yield part
            part, slices = [], 0
    if part:
        yield part


def _write(work: Work, names: list[str]) -> list[str]:
    """Runs in a worker."""
    made, loaded = _loaded(work.method, work.dataset, work.run_dir, work.options, work.devices, _weights(work))
    manifest = _manifest(work.data_dir, str(work.asked["records"]))
    for _ in work.write(made, loaded, manifest, names):
        pass
    return names


def _weights(work):
    return tuple(sorted(work.asked["networks"].items()))


@functools.lru_cache(maxsize=1)
def _loaded(method, dataset, run_dir, options, names, weights):
    """weights: (network, checksum) of each, so that a network which was trained again is loaded again."""
    made, loaded = predictor.of_method(method, run_dir, dataset, options, devices.strategy(names))
    found = tuple(sorted((network.name, network.checksum) for network in loaded))
    if found != weights:
        expected = f"the networks that {method.name} was begun with"
        do = "wait until their training has ended, then give the same command again"
        raise UserError(pathlib.Path(run_dir) / "networks", expected=expected, found="others", do=do)
    return made, loaded


@functools.lru_cache(maxsize=1)
def _manifest(data_dir, identity):
    manifest = records.read_manifest(data_dir, stamped=False)
    if manifest.identity != identity:
        raise UserError(manifest.path, expected="the records that the predictions were begun with", found="others")
    return manifest
