"""What can happen to an input: strategies that take a whole one and give a damaged one."""

from __future__ import annotations

import copy
import gzip
import json
import random

import hypothesis.strategies as st

VALUES = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, 1e-308, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, "", "a", "0", "1", " ",
    "../x", "/etc/passwd", "a/b", "x" * 300,
    "é", "e\u0301", "\ud800", "\udcff", "\0", "\n", "‮", "nan", "brats", "module:Class", [], {},
    [[]], [{}], [None], [0], ["a"], {"a": 1}, {"": {}}, [1, 2, 3], [1.5, 2.5], "data_prep.readers.brats", "os", "..", ".x",
)  # fmt: skip
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "1E400",
    "0" * 30 + "1",
    "1" * 5000,
    "[" * 200 + "]" * 200,
    "'a'",
    "// x",
    "",
)


def _places(value, path=()):
    """Every (path) of a JSON value, the whole one too."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _places(one, (*path, key))


def _get(value, path):
    for key in path:
        value = value[key]
    return value


def changed(document, rng: random.Random):
    """The document with one entry dropped, of another type, replaced, nested, renamed, doubled or taken from elsewhere in it."""
    places = list(_places(document))
    path = rng.choice(places)
    if not path:
        return rng.choice(VALUES) if rng.random() < 0.3 else document
    outer, key = _get(document, path[:-1]), path[-1]
    how = rng.randrange(9)
    if how == 0:
        del outer[key]
    elif how in (1, 2):
        outer[key] = copy.deepcopy(rng.choice(VALUES))
    elif how == 3:
        outer[key] = rng.choice([[outer[key]], {"a": outer[key]}, str(outer[key]), [outer[key]] * 3])
    elif how == 4 and isinstance(outer, dict):
        outer[rng.choice(["a", "", "0", "../x", "x" * 300, "\ud800", "é", "seal", "schema"])] = outer.pop(key)
    elif how == 5 and isinstance(outer, list):
        outer.append(copy.deepcopy(outer[key]))
    elif how == 6:
        outer[key] = copy.deepcopy(_get(document, rng.choice(places)))
    elif isinstance(outer[key], (int, float)) and not isinstance(outer[key], bool):
        outer[key] = rng.choice(
            [
                -outer[key],
                outer[key] + 1,
                outer[key] + 0.0 if abs(outer[key]) < 1e300 else 0.0,
                outer[key] * 10**6,
                0,
                outer[key] - 1,
            ]
        )
    elif isinstance(outer[key], str):
        text = outer[key]
        outer[key] = rng.choice([text[:-1], text + "x", text.upper(), text[::-1], text + "\0", text * 50, "../" + text])
    return document


def _text(document, rng):
    """JSON, at times with what no JSON has."""
    text = json.dumps(document, ensure_ascii=rng.random() < 0.7)
    if rng.random() < 0.15:  # a value in the text, whatever it was
        marks = [index for index, sign in enumerate(text) if sign == ":"]
        if marks:
            at = rng.choice(marks) + 1
            end = min((index for sign in ",}" if (index := text.find(sign, at)) >= 0), default=at)
            text = text[:at] + rng.choice(RAW) + text[end:]
    if rng.random() < 0.05:  # an entry twice
        at = text.find("{")
        text = text if at < 0 else f'{text[: at + 1]}"a": 1, "a": 2, {text[at + 1 :]}'
    return text


def _encoded(text, rng):
    way = rng.random()
    if way < 0.9:
        return text.encode("utf-8", "surrogatepass")
    codec = rng.choice(["utf-8-sig", "utf-16", "utf-32", "latin-1"])
    return text.encode(codec, "replace" if codec == "latin-1" else "surrogatepass")


def json_of(*documents):
    """Bytes of one of some JSON documents after one to four changes, seldom none; their seals are left out."""

    def made(drawn):
        index, seed, count = drawn
        rng, document = random.Random(seed), copy.deepcopy(documents[index])
        if isinstance(document, dict):
            document.pop("seal", None)
        for _ in range(count):
            document = changed(document, rng)
        found = _encoded(_text(document, rng), rng)
        return spoilt(found, rng) if rng.random() < 0.05 else found

    return st.tuples(
        st.integers(0, len(documents) - 1), st.integers(0, 2**32), st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4])
    ).map(made)


def spoilt(whole: bytes, rng: random.Random) -> bytes:
    """Bytes of which one is another, some are gone, some are there twice, or the end is cut off."""
    if not whole:
        return b"\0"
    at, how, size = rng.randrange(len(whole)), rng.randrange(6), rng.choice([1, 2, 4, 8, 100])
    if how == 0:
        return whole[:at]
    if how == 1:
        return whole[:at] + whole[at + size :]
    if how == 2:
        return whole[:at] + whole[at : at + size] * 3 + whole[at + size :]
    if how == 3:
        return whole[:at] + rng.choice([b"\xff", b"\0"]) * size + whole[at + size :]
    if how == 4:
        return whole + whole[:at]
    return whole[:at] + bytes([whole[at] ^ rng.randrange(1, 256)]) + whole[at + 1 :]


def bytes_of(*wholes: bytes):
    """One of some files after one to four such damages, more of them near the beginning, where headers are."""

    def made(drawn):
        index, seed, count = drawn
        rng, found = random.Random(seed), wholes[index]
        for _ in range(count):
            head = found[: rng.choice([16, 64, 400, len(found) or 1])]
            found = spoilt(head, rng) + found[len(head) :] if rng.random() < 0.7 else spoilt(found, rng)
        return found

    return st.tuples(st.integers(0, len(wholes) - 1), st.integers(0, 2**32), st.integers(0, 4)).map(made)


def fields_of(whole: bytes, fields):
    """A binary header of which some fields have other values. fields: {offset: struct's code}."""
    import struct

    extremes = {
        "h": [0, 1, -1, 2, 7, 8, 32767, -32768, 16, 512],
        "i": [0, 1, -1, 348, 540, 2**31 - 1, -(2**31)],
        "f": [0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, float("nan"), float("inf"), 352.0, 351.0, 1e9],
        "b": [0, 1, -1, 127],
        "B": [0, 1, 255, 66, 80, 93],
        "H": [0, 1, 65535, 256],
        "I": [0, 1, 2**32 - 1, 2**31, 65536],
        "q": [0, 1, -1, 2**63 - 1, 2**40],
    }

    def made(drawn):
        seed, count, packed = drawn
        rng, found = random.Random(seed), bytearray(whole)
        for _ in range(count):
            at = rng.choice(list(fields))
            struct.pack_into("<" + fields[at], found, at, rng.choice(extremes[fields[at]]))
        raw = bytes(found)
        if packed == 0:
            return raw
        squeezed = gzip.compress(raw, 1)
        if packed == 2:  # two members
            half = rng.randrange(len(raw))
            squeezed = gzip.compress(raw[:half], 1) + gzip.compress(raw[half:], 1) + rng.choice([b"", bytes(20), b"x"])
        return spoilt(squeezed, rng) if packed == 3 else squeezed

    return st.tuples(st.integers(0, 2**32), st.integers(0, 4), st.integers(0, 3)).map(made)


def bomb(head: bytes, size: int) -> bytes:
    """gzip of a head and as many zeros, a thousandth of their size."""
    return gzip.compress(head + bytes(size), 9)
