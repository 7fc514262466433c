"""Which subject is trained on, validated on and tested on: by seed, by the official layout, or by split files.

Everything here works on names; nothing is read but the split files. Choices by seed sort by a checksum of seed and
name, so they depend on no random generator's version, and hold still when the raw folder's order changes.
"""

import dataclasses
import hashlib
import itertools

from data_prep.base import artefacts
from data_prep.base.errors import UserError

PARTS = ("train", "valid", "test")
PREDICT = "predict"  # subjects without ground truth
NAMES = (*PARTS, PREDICT)
FORMS = ("flat", "ensemble", "cv")


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Who is where.

    parts: a tuple of names for each of `train`, `valid`, `test` and `predict`, in the order they are stored.
    members: training subjects of each ensemble member, or None. folds: of each cross-validation fold a dict with
    `train` and `valid`, or None. notes: lines to show the user.
    """

    parts: dict
    members: tuple | None = None
    folds: tuple | None = None
    notes: tuple = ()

    def splits(self):
        """dict from name to the tuple of its splits. A subject may be in valid and test, never in train and another."""
        found = {}
        for part in NAMES:
            for name in self.parts.get(part, ()):
                found.setdefault(name, []).append(part)
        return {name: tuple(parts) for name, parts in found.items()}


def shuffled(names, seed):
    """The names in an order that depends on `seed` and the names alone."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def largest_remainder(total, weights):
    """Shares `total` in proportion to `weights`, as whole numbers that add up to it; ties go to the first."""
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    for index in sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])[: total - sum(shares)]:
        shares[index] += 1
    return shares


def counts(total, ratio):
    """Subjects for each part, in proportion to `ratio`, none empty. Raises `UserError` below one subject a part."""
    if total < len(ratio):
        raise UserError(
            f"{total} labelled subject{'s' * (total != 1)}",
            expected=f"at least {len(ratio)}, to fill every split",
            do="say with --split_file which are for train, valid and test (a subject may be in valid and test)",
        )
    shares = largest_remainder(total, ratio)
    while 0 in shares:
        shares[shares.index(max(shares))] -= 1
        shares[shares.index(0)] += 1
    return shares


def by_seed(names, ratio, seed, grades=None):
    """Splits `names` into as many lists as `ratio` has entries, each shuffled; stratified where `grades` are given.

    grades: dict from name to grade, or None. Each grade is spread over the parts in proportion, as far as whole
    numbers allow, while the parts keep the sizes that `ratio` asks for.
    """
    order = shuffled(names, seed)
    sizes = counts(len(order), ratio)
    strata = {}
    for name in order:
        strata.setdefault(grades[name] if grades else None, []).append(name)
    strata = [strata[grade] for grade in sorted(strata, key=str)]
    parts = []
    for size in reversed(sizes[1:]):  # the first, train, keeps what is left
        taken = set()
        for stratum, share in zip(strata, largest_remainder(size, [len(stratum) for stratum in strata]), strict=True):
            taken.update(stratum[:share])
            del stratum[:share]
        parts.append([name for name in order if name in taken])
    kept = set(itertools.chain(*strata))
    return [[name for name in order if name in kept], *reversed(parts)]


def assign(sources, ratio, seed=100, split_files=(), split_fold=None, allow_missing=False):
    """Splits the subjects found.

    sources: objects with name, grade, split and labelled. ratio: (train, valid, test) for the seeded split.
    split_files: paths, at most one of each form (see `read_split_file`). split_fold: which fold is the data
    set's split where a cross-validation file stands alone. Returns an `Assignment`; raises `UserError`.
    """
    unlabelled = tuple(source.name for source in sources if not source.labelled)
    labelled = [source for source in sources if source.labelled]
    if split_files:
        return _from_files(sources, split_files, split_fold, allow_missing)
    if split_fold is not None:
        raise UserError("--split_fold", expected="a cross-validation file given with --split_file", found="none")
    notes = []
    if not labelled:
        parts = {part: () for part in PARTS}
    elif all(source.split for source in labelled):
        parts, notes = _official(labelled, ratio, seed)
    else:
        names = [source.name for source in labelled]
        grades = {source.name: source.grade for source in labelled} if all(s.grade for s in labelled) else None
        parts = dict(zip(PARTS, by_seed(names, ratio, seed, grades), strict=True))
    return Assignment(_tuples({**parts, PREDICT: unlabelled}), notes=(*notes, *_unlabelled_note(unlabelled)))


def _official(labelled, ratio, seed):
    """The layout's own sets; what it lacks (ISIC 2016 has no validation set) is held out of its training set."""
    parts = {part: [source.name for source in labelled if source.split == part] for part in PARTS}
    weight = dict(zip(PARTS, ratio, strict=True))
    lacking = [part for part in PARTS[1:] if not parts[part]]
    if not parts["train"]:
        raise UserError(
            "the official training set", expected="labelled subjects", found="none", do="add it, or give --split_file"
        )
    if not lacking:
        return parts, ()
    chosen = by_seed(parts["train"], [weight[part] for part in ("train", *lacking)], seed)
    parts.update(zip(("train", *lacking), chosen, strict=True))
    sizes = " and ".join(f"{len(parts[part])} for {part}" for part in lacking)
    return parts, (f"the layout has no labelled {' or '.join(lacking)} set: {sizes} held out of the training set",)


def _from_files(sources, paths, fold, allow_missing):
    """Reads the split files and fits them to the subjects found."""
    where = ", ".join(map(str, paths))
    forms, notes = {}, []
    for path in paths:
        form, content = read_split_file(path)
        if form in forms:
            raise UserError(
                path, expected=f"one split file of each form ({', '.join(FORMS)})", found=f"a second {form}"
            )
        forms[form] = content
    forms = _without_missing(forms, {source.name for source in sources}, where, allow_missing, notes)
    parts = _main_split(forms, sources, fold, where)
    members, folds = _members(forms), _folds(forms)
    labelled = {source.name: source.labelled for source in sources}
    _refuse_unfit(where, parts, members, folds, labelled)
    parts["test"] = [name for name in parts["test"] if labelled[name]]
    parts[PREDICT] = [name for name in labelled if not labelled[name]]
    left = set(labelled).difference(*parts.values())
    if left:
        notes.append(f"left out, as they are not in {where}: {len(left)} labelled subjects of the data")
    notes += [f"no subject is in {part}" for part in PARTS if not parts[part]]
    return Assignment(_tuples(parts), members, folds, (*notes, *_unlabelled_note(parts[PREDICT])))


def read_split_file(path):
    """Reads one split file; returns its form and content.

    `flat`: {"train": [names], "valid": …, "test": …}. `ensemble`: each key a list of k lists, alike in valid and test
    for all k. `cv`: each key a list of k lists, with another valid list in each fold. null or a missing key stands for
    the official split. The content is a dict of lists of names, or lists of k such lists, or None for null.
    """
    content = artefacts.read_json(path)
    expected = "an object with train and, where wanted, valid and test: each a list of names or a list of such lists"
    if not (isinstance(content, dict) and content.get("train") and set(content) <= set(PARTS)):
        raise UserError(path, expected=expected, found=_brief(content))
    content = {part: content.get(part) for part in PARTS}
    nested = isinstance(content["train"], list) and all(isinstance(item, list) for item in content["train"])
    if nested:
        k = len(content["train"])
        for part in PARTS[1:]:
            content[part] = [None] * k if content[part] is None else content[part]
        lists = [(part, item) for part in PARTS for item in _each(path, part, content[part], k)]
    else:
        lists = list(content.items())
    for part, names in lists:
        _check_names(path, part, names, optional=part != "train")
    if not nested:
        return "flat", content
    if all(valid == content["valid"][0] for valid in content["valid"]):
        if any(test != content["test"][0] for test in content["test"]):
            raise UserError(
                path, expected="one test list for all members", found="lists that differ, as valid's do not"
            )
        return "ensemble", content
    if None in content["valid"]:
        raise UserError(path, expected="a valid list in each fold", found="null in some")
    return "cv", content


def _each(path, part, lists, k):
    if not isinstance(lists, list) or len(lists) != k:
        raise UserError(path, expected=f"{k} lists in {part}, as in train", found=_brief(lists))
    return lists


def _check_names(path, part, names, optional):
    if names is None and optional:
        return
    if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
        raise UserError(path, expected=f"subject names in {part}", found=_brief(names))
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise UserError(path, expected=f"each subject once in a list of {part}", found=f"{twice} twice")


def _without_missing(forms, known, where, allow_missing, notes):
    """Leaves out the names that the data does not have, if that is allowed."""

    def fitting(value):
        if value is None or isinstance(value, str):
            return value
        return [fitting(item) for item in value if not isinstance(item, str) or item in known]

    named = list(dict.fromkeys(name for content in forms.values() for name in _names(list(content.values()))))
    missing = [name for name in named if name not in known]
    if not missing:
        return forms
    if not allow_missing:
        first = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        found = f"{len(missing)} of {len(named)} that are not ({first})"
        do = "give --allow_missing to leave them out"
        raise UserError(where, expected="subjects that are in the data", found=found, do=do)
    notes.append(f"left out, as they are not in the data: {len(missing)} of {len(named)} subjects in {where}")
    return {form: {part: fitting(value) for part, value in content.items()} for form, content in forms.items()}


def _names(value):
    if isinstance(value, str):
        yield value
    elif value is not None:
        for item in value:
            yield from _names(item)


def _members(forms):
    return tuple(map(tuple, forms["ensemble"]["train"])) if "ensemble" in forms else None


def _folds(forms):
    if "cv" not in forms:
        return None
    pairs = zip(forms["cv"]["train"], forms["cv"]["valid"], strict=True)
    return tuple({"train": tuple(train), "valid": tuple(valid)} for train, valid in pairs)


def _main_split(forms, sources, fold, where):
    """The own split of the data: the flat file's, else the union of an ensemble's members, else that of one fold."""
    if fold is not None and set(forms) != {"cv"}:
        raise UserError("--split_fold", expected="a cross-validation file alone in --split_file", found=where)
    if "flat" in forms:
        lists = forms["flat"]
    elif "ensemble" in forms:
        content = forms["ensemble"]
        union = list(dict.fromkeys(itertools.chain(*content["train"])))
        lists = {"train": union, "valid": content["valid"][0], "test": content["test"][0]}
    else:
        content, fold = forms["cv"], fold or 0
        if not 0 <= fold < len(content["train"]):
            raise UserError(f"--split_fold={fold}", expected=f"0 to {len(content['train']) - 1}, the folds of {where}")
        lists = {part: content[part][fold] for part in PARTS}
    official = {part: [source.name for source in sources if source.labelled and source.split == part] for part in PARTS}
    if lists["valid"] is None and not official["valid"]:
        found = "null for valid, which stands for an official validation set that the data does not have"
        raise UserError(where, expected="validation subjects", found=found)
    return {part: official[part] if names is None else list(names) for part, names in lists.items()}


def _refuse_unfit(where, parts, members, folds, labelled):
    """No subject that a network trains on may be one that it is judged on, and whoever trains needs labels."""
    train, known = set(parts["train"]), {*parts["train"], *parts["valid"]}
    _refuse_overlap(where, "train", train, "valid", parts["valid"])
    _refuse_overlap(where, "train", train, "test", parts["test"])
    lists = [("train", parts["train"], train), ("valid", parts["valid"], known)]
    lists += [(f"member {index}", names, train) for index, names in enumerate(members or ())]
    for index, fold in enumerate(folds or ()):
        _refuse_overlap(where, f"train of fold {index}", fold["train"], f"valid of fold {index}", fold["valid"])
        lists += [(f"{part} of fold {index}", names, known) for part, names in fold.items()]
    for title, names, allowed in lists:
        if not names:
            raise UserError(where, expected=f"subjects of the data in {title}", found="none")
        for name in names:
            if not labelled[name]:
                raise UserError(where, expected=f"labelled subjects in {title}", found=f"{name}, which has no label")
            if name not in allowed:
                expected = f"{title} within train{'' if allowed is train else ' and valid'} of the data's own split"
                raise UserError(where, expected=expected, found=f"{name}, which is not in it")


def _refuse_overlap(where, one, names, other, others):
    both = sorted(set(names).intersection(others))
    if both:
        raise UserError(where, expected=f"no subject in both {one} and {other}", found=", ".join(both[:3]))


def _unlabelled_note(unlabelled):
    return (f"subjects without a label, kept for prediction: {len(unlabelled)}",) if unlabelled else ()


def _tuples(parts):
    return {part: tuple(names) for part, names in parts.items()}


def _brief(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def k_folds(names, k, grades=None):
    """Cross-validation in `k` folds without shuffling: a list of {"train": names, "valid": names}.

    names: in order. grades: one for each name, to stratify by, or None for consecutive blocks. Equal to scikit-learn's
    `StratifiedKFold(k, shuffle=False)` and `KFold(k)`, which made the paper's folds.
    """
    names = list(names)
    if not 2 <= k <= len(names):
        raise UserError(f"{k} folds", expected=f"2 to {len(names)}, the number of subjects")
    if grades is None:
        fold_of = [index for index, block in enumerate(_blocks(names, k)) for _ in block]
    else:
        fold_of = _stratified(list(grades), k)
    return [
        {
            "train": [name for name, fold in zip(names, fold_of, strict=True) if fold != index],
            "valid": [name for name, fold in zip(names, fold_of, strict=True) if fold == index],
        }
        for index in range(k)
    ]


def _stratified(grades, k):
    """The fold of each subject. Grades count in order of appearance; of the subjects sorted by grade, every k-th one
    says how many of its grade a fold gets, and each fold takes that many in order."""
    appearance = {grade: index for index, grade in enumerate(dict.fromkeys(grades))}
    ordered = sorted(appearance[grade] for grade in grades)
    queues = {
        grade: iter([fold for fold in range(k) for _ in range(ordered[fold::k].count(index))])
        for grade, index in appearance.items()
    }
    return [next(queues[grade]) for grade in grades]


def leave_out_blocks(names, members):
    """Training subjects of each ensemble member: member i leaves out the i-th consecutive block of max(10, members).

    With the paper's ten members each trains on 90 %. With fewer subjects than blocks the last blocks are empty, and
    nothing is left out; a single subject is never left out.
    """
    names = list(names)
    blocks = _blocks(names, max(10, members))[:members]
    return [[name for name in names if name not in block] or names for block in map(set, blocks)]


def _blocks(names, number):
    """Consecutive blocks whose sizes differ by at most one, the larger first."""
    size, larger = divmod(len(names), number)
    ends = [index * size + min(index, larger) for index in range(number + 1)]
    return [names[start:end] for start, end in itertools.pairwise(ends)]
