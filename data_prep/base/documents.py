"""The shape of a JSON document: checked against a form before anything is made of it, so that a wrong one is told by its place.

A form is what `msgspec` converts to: a `Struct`, a frozen dataclass, a dict or list of such. An entry with a default may be
absent, and one that the form does not have is another version's, and left alone. What is said is the file, the place in it
as `subjects[3].slices`, what was expected there and what was found.
"""

from __future__ import annotations

import collections
import functools
import itertools
import json
import math
import os
import pathlib
import re
from typing import Annotated, Any, TypeVar

import msgspec

from data_prep.base import json_text
from data_prep.base.errors import UserError

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # bytes, records, voxels, steps: what NumPy's int64 holds
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]

PIECE, LARGE = 1 << 16, 1 << 22  # bytes of a file that are looked through at a time; of an entry that is none of ours
DEEPEST = 100  # objects and lists in each other; ours have 8, and whoever shows or checks more would run out of stack
LONGEST = 60  # characters of a value that is shown
_AT = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_GOT = re.compile(r"^Expected (?P<expected>.+), got (?P<found>.+)$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_WORD = "Invalid enum value "
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|\[(?P<any>\.\.\.)\]")


def parsed(text: str) -> Any:
    """JSON as the standard has it: raises `ValueError` for NaN, infinities, an entry twice, half a character, deep nesting.

    Python's own reader takes all of these: of two entries it drops one without a word.
    """
    try:
        value = _decoder().decode(text)
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels of nesting") from None
    if text.count("[") + text.count("{") > DEEPEST and _is_deeper(value):
        raise ValueError(f"more than {DEEPEST} levels of nesting")
    if (
        "\\u" in text
    ):  # half of a pair is no character; a byte of a file's name that is no text is kept as one that can be written
        json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return value


def read_apart(path: pathlib.Path, name: str) -> Any:
    """What `parsed` makes of a file of ours, whose list `name` holds many objects: that is an `Each`, which reads them from the
    file as it is gone through. All were read once before this returns. Another file than we indent is read as a whole.
    """
    with open(path, "rb") as file:
        head = list(itertools.takewhile(f' "{name}": [\n'.encode().__ne__, iter(file.readline, b"")))
        begun, seen = file.tell(), _version(file)
        try:
            collections.deque(_objects(file), maxlen=0)
            value = parsed(b"".join([*head, f'"{name}": "~"'.encode(), file.read()]).decode())
        except ValueError:
            value = None
        if not isinstance(value, dict) or value.get(name) != "~":
            file.seek(0)  # in another form, or no JSON, which is said of the whole
            return parsed(file.read().decode())

    changed = functools.partial(UserError, path, expected="one file while it is read", do="run the command again")

    def entries():
        try:
            with open(path, "rb") as file:
                if _version(file) != seen:
                    raise changed(found="another")
                file.seek(begun)
                yield from _objects(file)
        except OSError as error:
            raise changed(found=error.strerror) from None

    return {**value, name: json_text.Each(entries)}


def _objects(file):
    """Yields the entries of a list as we indent it, from its first line on; raises `ValueError` for another form.

    A line break in a string is written as `\\n`, so a line of the list's own stands nowhere else.
    """
    begun, rest = file.tell(), b""
    while len(rest) < LARGE and (piece := file.read(PIECE)):
        *entries, rest = (rest + piece).split(b"\n  },\n")
        for entry in entries:
            if b"\n ]" in entry:  # the delimiter is that of a later list
                rest = entry
                break
            begun += len(entry) + len(b"\n  },\n")
            yield parsed((entry + b"\n  }").decode())
        if (end := rest.find(b"\n ]")) >= 0:
            yield parsed(rest[:end].decode())
            file.seek(begun + end + len(b"\n ]"))
            return
    raise ValueError("a list without its end")


def _version(file):
    """What another file in its place would not have."""
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@functools.cache
def _decoder():
    return json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)


def _once(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the entry {_brief(next(name for name in names if names.count(name) > 1))} twice")
    return found


def _no_constant(word):
    raise ValueError(f"{word}, which is no number in JSON")


def _finite(text):
    if math.isinf(value := float(text)):
        raise ValueError(f"the number {text[:LONGEST]}, which is too large")
    return value


def _is_deeper(value):
    level = [value]
    for _ in range(DEEPEST):
        inside = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [inner for entries in inside for inner in entries]
    return any(isinstance(one, (dict, list)) for one in level)


def typed(document: Any, form: type[T], where: object, do: str | None = "remove it or make it anew") -> T:
    """The document as a value of `form`; raises `UserError` naming `where`, the file, and the place in it that is wrong."""
    try:
        return msgspec.convert(document, form, str_keys=True)
    except msgspec.ValidationError as error:
        raise _told(document, form, str(error), where, do) from None
    except UnicodeEncodeError as error:
        raise UserError(where, expected="names of text", found=_brief(error.object), do=do) from None


def checked(document: Any, form: type, where: object, do: str | None = "remove it or make it anew") -> dict[str, Any]:
    """The document itself, all its entries, once it has the shape of `form`, an object's; raises as `typed`."""
    typed(document, form, where, do)
    found: dict[str, Any] = document
    return found


def _told(document, form, message, where, do):
    found = _AT.match(message)
    steps, value = _located(document, form, found["path"] or "")
    expected, seen = _expected(found["what"], value)
    if found["key"]:
        steps += "." * bool(steps) + next(_wrong(document, form, _keys(document, form, found["path"]), value), "…")
        expected = f"another name ({expected})"
    return UserError(f"{where}: {steps}" if steps else where, expected=expected, found=seen, do=do)


def _expected(what, value):
    """(what was expected, what was found) of msgspec's sentence about a value."""
    if missing := _MISSING.match(what):
        return f"the entry {missing['name']}", "none"
    if unknown := _UNKNOWN.match(what):
        return "known entries only", unknown["name"]
    what = what.replace("`", "")
    if what.startswith(_WORD):
        return "one of the words for it", what.removeprefix(_WORD)
    got = _GOT.match(what)
    expected, kind = (got["expected"], got["found"]) if got else (what.removeprefix("Expected "), "")
    if "matching regex" in expected:
        expected = "a name of characters that can be printed, without a slash where a path is made of it"
    if isinstance(value, (dict, list)) or value is None:
        return expected, kind or None
    return expected, f"{kind} {_brief(value)}".strip()


def _located(document, form, path):
    """(the place as people write it, the value there)."""
    keys = _keys(document, form, path)
    steps = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    for key in keys:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return steps, None
    return steps, document


def _keys(document, form, path):
    """The names and indices that lead to a place; of an object that may have any entries msgspec says `[...]`."""
    keys, value = [], document
    for step in _STEP.finditer(path):
        if step["any"]:
            found = next(_wrong(document, form, keys, value), "…") if isinstance(value, dict) else "…"
        else:
            found = step["name"] or int(step["index"])
        keys.append(found)
        try:
            value = value[found]
        except (KeyError, IndexError, TypeError):
            value = None
    return keys


def _wrong(document, form, keys, entries):
    """The names of those entries of the object behind `keys` with which alone the document is still wrong."""
    for name in entries:
        try:
            msgspec.convert(_with(document, keys, {name: entries[name]}), form, str_keys=True)
        except (msgspec.ValidationError, UnicodeEncodeError):
            yield name


def _with(document, keys, value):
    """The document with another value behind `keys`."""
    if not keys:
        return value
    first, *rest = keys
    inner = _with(document[first], rest, value)
    if isinstance(document, dict):
        return {**document, first: inner}
    return [inner if index == first else one for index, one in enumerate(document)]


def _brief(value):
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**LONGEST else "a number of many digits"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
