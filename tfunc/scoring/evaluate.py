"""Subjects -> counts -> scores: the numbers of an evaluation. It writes no file and draws nothing.

Each subject is counted once for all methods, in a worker, and only its counts come back, which are kept packed.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_prep.base import notices
from data_prep.base import pool as workers
from data_prep.base.errors import NotReady, UserError
from data_prep.base.notices import Notices
from data_prep.base.progress import Progress
from data_prep.readers import labels
from data_prep.tasks import Task
from tfunc import kinds
from tfunc.kinds import KINDS, Limits
from tfunc.scoring import binary, class_files, classes, findings, margin, spread, statistics
from tfunc.scoring.counts import Counts, empty_counts
from tfunc.scoring.findings import Distances, Findings
from tfunc.scoring.findings import mean as mean_findings
from tfunc.scoring.kept import Kept
from tfunc.scoring.sources import Maps, naming
from tfunc.scoring.statistics import Scores
from tfunc.scoring.truth import AnyTruth, RecordsTruth

WITH_DISTANCES = Distances()
POOLED = "all"  # calibration.csv's name of the data set, so no subject's


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What was counted of a set of subjects.

    maps: one a method, with their sigma ranges.  scores: {method: Scores}.  counts: {method: {subject: Counts}}.
    gaps: {method: voxels} that are NaN outside the masks, of the methods that have any.  findings: {method: {subject:
    Findings}} of the one region there is.

    Of several classes, scores are means over the regions and counts are the regions' together; `regions` has them one by one,
    `classes` those of the class map, of the methods that have one, and `task` says what they are. Of two, there is none.
    """

    maps: tuple[Maps, ...]
    scores: dict[str, Scores]
    counts: Mapping[str, Mapping[str, Counts]]
    gaps: dict[str, int] = dataclasses.field(default_factory=dict)
    regions: dict[str, Evaluated] = dataclasses.field(default_factory=dict)
    classes: Evaluated | None = None
    task: Task | None = None
    findings: Mapping[str, Mapping[str, Findings]] = dataclasses.field(default_factory=dict)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Their names, in order; those of every method."""
        return self.maps[0].subjects


def evaluate(
    all_maps: Sequence[Maps],
    truth: AnyTruth,
    pool: concurrent.futures.Executor,
    sigma_range: Limits | None = None,
    say: Callable[[str], object] = print,
    distances: Distances = WITH_DISTANCES,
) -> Evaluated:
    """Counts every subject of every method on the Executor `pool`. distances: what is asked for of those of surfaces.

    What is scaled over the whole set is first rescaled to `sigma_range` where it is given, else to the range found in
    one pass more over its maps. say: called with each line for the user, such as the numbers that the labels hold.
    Raises `UserError` where methods have other subjects, a subject has no label, or a label's numbers have no known meaning.
    """
    subjects = _common_subjects(all_maps)
    truth.check(subjects)
    ready = tuple(_with_range(maps, truth, pool, sigma_range) for maps in all_maps)
    counts: dict[str, Kept[Any]] = {maps.method: Kept() for maps in ready}
    other: dict[str, Kept[dict[str, Findings]]] = {maps.method: Kept() for maps in ready}
    missing = dict.fromkeys(counts, 0)
    items = ((truth, [maps.alone(subject) for maps in ready], subject, distances) for subject in subjects)
    noticed = Notices()
    with Progress("evaluate", len(subjects), " subjects") as progress:
        for subject, (found, remarks) in zip(subjects, workers.results(pool, count_subject, items), strict=True):
            noticed.add(remarks)
            labels.require_same(noticed)
            for method, one in found.items():
                counts[method].add(subject, one.counts)
                other[method].add(subject, one.findings)
                missing[method] += one.gaps
            progress.advance()
    _say(noticed, truth, say)
    some = {method: number for method, number in missing.items() if number}
    if truth.classes is not None:
        return _of_classes(truth.classes, ready, counts, some, other)
    scores = {method: statistics.scores(found) for method, found in counts.items()}
    return Evaluated(ready, scores, counts, some, findings=_each(other, lambda one: one[""]))


def _each(every, function):
    """{method: {subject: function(value)}} of {method: {subject: value}}, kept as that is."""
    found = {method: Kept() for method in every}
    for method, of in every.items():
        for subject, value in of.items():
            found[method].add(subject, function(value))
    return found


def _by_region(every, names, function):
    """{region: {method: {subject: function(value, region)}}}; each value is unpacked once for all regions."""
    found = {name: {method: Kept() for method in every} for name in names}
    for method, of in every.items():
        for subject, value in of.items():
            for name in names:
                found[name][method].add(subject, function(value, name))
    return found


def _of_classes(task, maps, parts, gaps, findings):
    """`Evaluated` of {method: {subject: `Parts`}}."""
    regions = {}
    names = [region.name for region in task.regions]
    every = _by_region(parts, names, lambda part, name: part.regions[name])
    found = _by_region(findings, names, lambda one, name: one[name])
    for name, counts in every.items():
        scores = {method: statistics.scores(of) for method, of in counts.items()}
        regions[name] = Evaluated(maps, scores, counts, gaps, findings=found[name])
    whole = _each(parts, lambda part: sum(part.regions.values(), empty_counts()))
    means = {method: statistics.over_regions([of.scores[method] for of in regions.values()]) for method in parts}
    over = _each(findings, lambda one: mean_findings(list(one.values())))
    return Evaluated(maps, means, whole, gaps, regions, _of_class_map(maps, parts, gaps), task, over)


def _of_class_map(maps, parts, gaps):
    """`Evaluated` of the class map, of the methods that have one."""
    some = {method: of for method, of in parts.items() if all(part.classes is not None for part in of.values())}
    if not some:
        return None
    found = _each(some, lambda part: part.classes)
    counts = _each(found, lambda one: one.overall)
    scores = {method: statistics.class_scores(of) for method, of in found.items()}
    return Evaluated(tuple(one for one in maps if one.method in found), scores, counts, gaps)


@dataclasses.dataclass(frozen=True)
class Found:
    """What is counted of one subject and method; of several classes `Parts`.

    gaps: voxels that are NaN outside the mask.  findings: {region: Findings}, of two classes one region without a name.
    """

    counts: Counts | classes.Parts
    gaps: int
    findings: dict[str, Findings]


def count_subject(
    item: tuple[AnyTruth, Sequence[Maps], str, Distances],
) -> tuple[dict[str, Found], Notices]:
    """({method: Found} of one subject, what was noticed).

    item: (where its label is, the methods' maps, its name, what is asked for of surfaces).
    """
    where, all_maps, subject, distances = item
    found: dict[str, Found] = {}
    with notices.gathered() as noticed:
        truth = where.read(subject)
        if truth.classes is not None:
            return _count_classes(truth, truth.classes, all_maps, subject, distances), noticed
        mask = None if truth.mask is None else truth.only(truth.mask)
        near = truth.only(margin.near(truth.label)) if mask is None else None
        label = truth.only(truth.label)
        region = distances.of(truth, truth.label != 0)
        for maps in all_maps:
            score, prediction, gaps = maps.read_with_gaps(subject, truth)
            samples = _samples(maps, subject, where)
            with naming(maps, subject):
                counted = binary.count(
                    truth.only(score), maps.kind, truth.only(prediction), label, mask, maps.sigma_range, near
                )
                of = findings.find(score, maps.kind, prediction, region, maps.sigma_range, samples)
            found[maps.method] = Found(counted, gaps, {"": of})
    return found, noticed


def _samples(maps, subject, where):
    """The `Spread` of the one region that two classes have: records say its name, labels of a folder take the only one."""
    regions = [one.name for one in where.task.regions] if isinstance(where, RecordsTruth) else None
    drawn = spread.read(maps.folder_of(subject), subject, regions)
    if drawn is not None and len(drawn) != 1:
        file = spread.path(maps.folder_of(subject), subject)
        raise UserError(file, expected="volumes of one region", found=", ".join(drawn) or "none", do="predict again")
    return None if drawn is None else next(iter(drawn.values()))


def _count_classes(truth, task, all_maps, subject, distances):
    """{method: `Found`} of one subject: every file is read once for all regions."""
    inside = [classes.among(truth.label, region) for region in task.regions]
    near = [truth.only(margin.near(one)) if truth.mask is None else None for one in inside]
    mask = None if truth.mask is None else truth.only(truth.mask)
    target = classes.Target(truth.only(truth.label), mask, tuple(map(truth.only, inside)), tuple(near))
    found = {}
    for maps in all_maps:
        with naming(maps, subject):
            voxels, gaps = class_files.read(maps, subject, truth, task)
            counted = classes.count(voxels.each(truth.only), task, target, maps.sigma_range)
            drawn = spread.read(maps.folder_of(subject), subject, [region.name for region in task.regions]) or {}
            of = {}
            for index, region in enumerate(task.regions):
                score = classes.score_of(voxels, index, region)
                own = classes.among(voxels.prediction, region)
                where = distances.of(truth, inside[index])
                of[region.name] = findings.find(score, maps.kind, own, where, maps.sigma_range, drawn.get(region.name))
            found[maps.method] = Found(counted, gaps, of)
    return found


def _say(noticed, truth, say):
    """What was noticed; of segmentations only what is not just 0 and 1."""
    for line in noticed.lines():
        say(line)
    for what, found in noticed.found.items():
        if what == "masks":
            lines = labels.said(noticed, what, "inside")
        elif truth.classes is not None:
            lines = [_numbers_said(noticed, what, truth.classes)]
        elif what == "labels" or max(found) > 1:
            rule = truth.rule if what == "labels" else dataclasses.replace(truth.rule, ignore=None)
            lines = labels.said(noticed, what, rule=rule)
        else:
            lines = []
        for line in lines:
            say(line)


def _numbers_said(noticed, what, task):
    """What numbers labels hold and which class each is."""
    names = {raw: one.name for one in task.classes for raw in one.labels} | {task.ignore: "ignored"}
    count, numbers = noticed.files[what], sorted(noticed.found[what].items())
    listed = ", ".join(f"{raw} ({names.get(raw, '?')}) in {voxels:,}" for raw, voxels in numbers)
    return f"{what} of {count} file{'s' * (count != 1)}, numbers and their voxels: {listed}"


def map_range(item: tuple[Maps, AnyTruth, str]) -> tuple:
    """(lowest, highest) of one map where voxels count, scalars of its dtype. item: (a method's maps, the truth, a name)."""
    maps, truth, subject = item
    with naming(maps, subject), notices.gathered():
        score = maps.score(subject, truth)
        if truth.ignores:
            score = truth.read(subject).only(score)
        return kinds.value_range(score)


def _common_subjects(all_maps):
    names = [maps.method for maps in all_maps]
    if len(set(names)) < len(names):
        raise UserError("methods", expected="one folder each", found=", ".join(names))
    first = all_maps[0]
    if POOLED in first.subjects:
        found = f"{POOLED!r}, which stands for the whole set in calibration.csv"
        raise UserError(first.folder, expected="subjects' names", found=found, do="rename its files")
    for maps in all_maps[1:]:
        if odd := set(first.subjects) ^ set(maps.subjects):
            name = min(odd)
            without = maps if name in first.subjects else first
            expected = f"{name}, which {(first if without is maps else maps).folder} has"
            do = "methods are compared on the same subjects: predict the rest, or leave one out with --methods"
            raise NotReady(without.folder, expected=expected, found="no map of it", do=do)
    return first.subjects


def _with_range(maps, truth, pool, sigma_range):
    if KINDS[maps.kind].scale != "set":
        return maps
    if sigma_range is None:
        items = ((maps.alone(subject), truth, subject) for subject in maps.subjects)
        sigma_range = kinds.common_range(workers.results(pool, map_range, items))
    return dataclasses.replace(maps, sigma_range=tuple(sigma_range))
