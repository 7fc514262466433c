"""`tfunc.json`: what the user says of a data set beside its own description, laid over the task that the description gives."""

from __future__ import annotations

import pathlib
from typing import NoReturn

import msgspec

from data_prep import tasks
from data_prep.base import regular
from data_prep.base.artefacts import read_json
from data_prep.base.errors import UserError
from data_prep.base.names import checked
from data_prep.readers.described import AIR

FILE = "tfunc.json"
PLAIN = ("title", "unit", "ignore", "inside", "trained", "axis", "spacing", "frame", "ratio", "per_shard", "show")
ENTRIES = (*PLAIN, "channels", "classes", "regions")
_DO = "docs/howto/own_data.md lists what may stand there"


def laid_over(task: tasks.Task, folder: pathlib.Path) -> tasks.Task:
    """The task with what tfunc.json in the folder says in place of it; the same task without such a file.

    Raises `UserError` naming the file and the entry: an unknown one, a wrong type, a channel or a class that is not there.
    """
    path = folder / FILE
    if not path.exists():
        return task
    regular.require(path)
    try:
        words = read_json(path)
    except UserError as error:
        where, expected, found, _ = error.arguments
        raise UserError(where, expected=expected, found=found, do="correct it, or remove it") from None
    if not isinstance(words, dict):
        _refuse(path, f"an object with some of {', '.join(ENTRIES)}", type(words).__name__)
    if unknown := [name for name in words if name not in ENTRIES]:
        _refuse(path, f"entries of {', '.join(ENTRIES)}", ", ".join(map(repr, unknown[:5])))
    document = task.document()
    document |= {name: words[name] for name in PLAIN if name in words}
    document["channels"] = _channels(task, _named(words, "channels", path), path)
    document["classes"] = _classes(task, _named(words, "classes", path), words.get("ignore"), path)
    document["regions"] = _regions(document, task, words, path)
    return tasks.from_document(document, path, _DO)


def _named(words, entry, path):
    """An entry that is an object, {} without it."""
    found = words.get(entry, {})
    if not isinstance(found, dict):
        _refuse(path, f"`{entry}` as an object by name", type(found).__name__)
    return found


def _channels(task, words, path):
    known = {channel.name: msgspec.to_builtins(channel) for channel in task.channels}
    for name, values in words.items():
        if name not in known:
            _refuse(path, f"channels of {', '.join(known)}", repr(name))
        if not isinstance(values, dict) or not set(values) <= {"normalise", "outside"}:
            _refuse(path, f"`normalise` and `outside` for the channel {name}", repr(values))
        rule = values.get("normalise", known[name]["normalise"])
        if rule != known[name]["normalise"]:
            known[name]["outside"] = AIR if rule == "ct" else 0.0
        known[name] |= values
    return list(known.values())


def _classes(task, words, ignore, path):
    """The classes under the names that the user gives their labels, without the label that is ignored."""
    classes = [msgspec.to_builtins(one) for one in task.classes if ignore is None or tuple(one.labels) != (ignore,)]
    for label, name in words.items():
        found = [one for one in classes if str(one["labels"][0]) == label]
        if not found or not isinstance(name, str) or not name.strip():
            there = ", ".join(str(one["labels"][0]) for one in classes)
            _refuse(path, f"`classes` as names for labels of {there}", f"{label!r}: {name!r}")
        found[0]["name"] = checked(name, "a class", path, _DO, slash=True)
    names = [one["name"] for one in classes]
    if twice := [name for name in names if names.count(name) > 1]:
        _refuse(path, "another name for each class", f"{twice[0]!r} twice")
    return classes


def _regions(document, task, words, path):
    """What `regions` says, else the task's own regions, under the classes' new names where they are one class each."""
    classes = [one["name"] for one in document["classes"]]
    given = words.get("regions")
    if given is None:
        index = {tuple(one["labels"]): position for position, one in enumerate(document["classes"])}
        regions = []
        for region in task.regions:
            found = (tuple(task.classes[each].labels) for each in region.classes)
            moved = [index[labels] for labels in found if labels in index]
            own = len(region.classes) == 1 and region.name == task.classes[region.classes[0]].name
            name = classes[moved[0]] if moved and own else region.name
            if moved:
                regions.append({"name": name, "title": name if own else region.title, "classes": moved})
        return regions
    if not isinstance(given, list) or not given:
        _refuse(path, '`regions` as [{"name": "whole", "classes": ["liver", "tumour"]}]', repr(given))
    return [_region(region, classes, path) for region in given]


def _region(region, classes, path):
    if not isinstance(region, dict) or not set(region) <= {"name", "title", "classes"} or not region.get("name"):
        _refuse(path, "`name`, `title` and `classes` for each region", repr(region))
    checked(region["name"], "a region", path, _DO, slash=True)
    members = region.get("classes")
    if not isinstance(members, list) or not members:
        _refuse(path, f"a list `classes` for the region {region['name']}", repr(members))
    found = []
    for member in members:
        index = classes.index(member) if isinstance(member, str) and member in classes else member
        if isinstance(index, bool) or not isinstance(index, int) or not 0 < index < len(classes):
            numbered = ", ".join(f"{name} ({number})" for number, name in enumerate(classes) if number)
            _refuse(path, f"classes of {numbered} in the region {region['name']}", repr(member))
        found.append(index)
    return {"name": region["name"], "title": region.get("title", region["name"]), "classes": sorted(set(found))}


def _refuse(path: object, expected: str, found: str) -> NoReturn:
    raise UserError(path, expected=expected, found=found, do=_DO)
