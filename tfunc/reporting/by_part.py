"""What of the report belongs to one of several parts: all are in the page, the first is shown, the script shows the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from tfunc.reporting.parts import Part


def of_each(contents: Iterable[tuple[Part, Iterable[str]]]) -> str:
    """What belongs to each of several parts in an element of its own: the first is shown, the script shows the others."""
    every = [(part, "".join(elements)) for part, elements in contents]
    if len(every) == 1:
        return every[0][1]
    return "".join(
        f'<div data-part="{index}"{" hidden" * (index > 0)}><h3 class="unscripted">{escape(part.title)}</h3>{text}</div>'
        for index, (part, text) in enumerate(every)
    )  # without a script all are shown, below their names


def choice(parts: Sequence[Part]) -> str:
    """The control that chooses a part; nothing for two classes."""
    if len(parts) == 1:
        return ""
    options = "".join(f'<option value="{index}">{escape(part.title)}</option>' for index, part in enumerate(parts))
    return f"<label>Region <select data-choose>{options}</select></label>"
