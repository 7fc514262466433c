"""Makes lists of what our docstrings say of arguments and attributes, which Markdown would run together into one paragraph.

A docstring of ours says `image: an array. samples: how many, None: 20.` in sentences, which is short in the code. The site
shows a list with an item for each name. Only names that the function takes, or the class has, begin an item; mkdocs.yml names
this file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import griffe

# one or several names and a colon, where a sentence may begin
_NAMES = re.compile(
    r"(?:^|(?<=[.;:)]\s)|(?<=[.;:)]\s\s)|(?<=\n))(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*):\s", re.MULTILINE
)
_AFTER = re.compile(
    r"(?<=[.)])\s+(?=(?:Raises|Returns|Yields|NaN)\b)"
)  # is of the whole function, not of its last argument


class ArgumentLists(griffe.Extension):
    """Rewrites the docstrings of a package once all of it is read, so that names that others give are known."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called by griffe with the whole package."""
        for found in _documented(pkg):
            if found.docstring is not None:
                found.docstring.value = listed(found.docstring.value, _names(found))


def listed(text: str, names: Collection[str]) -> str:
    """A docstring as Markdown with a list of what it says of `names`; other words, and examples, stay as they are."""
    paragraphs = re.split(r"\n[ \t]*\n", text)
    return "\n\n".join(part if part.startswith((" ", "\t", "```")) else _paragraph(part, names) for part in paragraphs)


def _paragraph(text, names):
    known = {*names}
    found = [at for at in _NAMES.finditer(text) if known.issuperset(re.findall(r"\w+", at["names"]))]
    if not found:
        return text
    ends = [at.start() for at in found[1:]] + [len(text)]
    items = [(at["names"], text[at.end() : end].strip().removesuffix(";")) for at, end in zip(found, ends, strict=True)]
    last, *after = _AFTER.split(items[-1][1], maxsplit=1)
    items[-1] = items[-1][0], last
    lines = [f"- {_code(of)}: {_indented(said)}" for of, said in items]
    before = text[: found[0].start()].strip()
    return "\n\n".join([*([before] if before else []), "\n".join(lines), *after])


def _code(names):
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _indented(text):
    """The lines of an item below each other, so that none begins something of its own."""
    return "\n    ".join(line.strip() for line in text.splitlines())


def _documented(of: Any) -> Iterator[Any]:
    """Every object that is defined below one, itself included; imported ones are at home elsewhere."""
    yield of
    for member in of.members.values():
        if not member.is_alias:
            yield from _documented(member)


def _names(of):
    """The names that a docstring may speak of: of a function its arguments, of a class its attributes and those of its making."""
    if of.is_function:
        return [parameter.name for parameter in of.parameters]
    if not of.is_class:
        return []
    making = of.members.get("__init__")
    taken = [parameter.name for parameter in making.parameters] if making is not None and making.is_function else []
    return [*taken, *(name for name, member in of.members.items() if not member.is_alias and member.is_attribute)]
