"""The templates of page/: what is put into one is escaped but for `Markup`, and a name that is missing is an error."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jinja2
from markupsafe import Markup

NONE = "–"  # what stands where there is no number


def filled(template: str, **values: Any) -> Markup:
    """The template of that name with these values, as text that is not escaped again where another holds it."""
    return Markup(_environment().get_template(template).render(values))


def pieces(template: str, **values: Any) -> Iterator[str]:
    """The same in pieces, for a file that is written as they come."""
    return _environment().get_template(template).generate(values)


@functools.cache
def _environment():
    folder = jinja2.PackageLoader("tfunc.reporting", "page")
    made = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    made.filters["fixed"] = fixed
    made.filters["signed"] = lambda value, digits=3: fixed(value, digits, "+")
    return made


def fixed(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A number with so many digits behind the point, a minus as long as a plus; a dash for None and NaN."""
    if value is None or value != value:
        return NONE
    return f"{value:{sign}.{digits}f}".replace("-", "−")
