"""A notebook as a page: its texts, its code, and the outputs that were saved in it, as they are. Nothing is run."""

from __future__ import annotations

import base64
import json
import pathlib
import re
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def pages(docs: pathlib.Path) -> dict[str, str | bytes]:
    """{place in the site: content} of every notebook below `docs`: a page of its name, and its pictures beside it."""
    made: dict[str, str | bytes] = {}
    for path in sorted(docs.rglob("*.ipynb")):
        place = path.relative_to(docs).with_suffix("")
        made.update(page(json.loads(path.read_text(encoding="utf-8")), place.as_posix()))
    return made


def page(notebook: dict[str, Any], place: str) -> dict[str, str | bytes]:
    """The same of one notebook, of nbformat 4. place: of its page, without an ending."""
    name = place.rpartition("/")[2]
    lines = [f"*This page is the notebook [{name}.ipynb]({name}.ipynb) with the outputs of its last run.*", ""]
    pictures: dict[str, str | bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines += [source, ""]
        elif cell["cell_type"] == "code" and source.strip():
            lines += [_fenced(source, "python"), ""]
            for output in cell["outputs"]:
                lines += [_shown(output, place, pictures), ""]
    return {f"{place}.md": "\n".join(lines), **pictures}


def _shown(output: dict[str, Any], place: str, pictures: dict[str, str | bytes]) -> str:
    """An output in Markdown; a picture is added to `pictures`. The best form of it that a page can show is taken."""
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), "text")
    if output["output_type"] == "error":
        return _fenced("\n".join(output["traceback"]), "text")
    data = output["data"]
    if "image/png" in data:
        picture = f"{place}_{len(pictures) + 1}.png"
        pictures[picture] = base64.b64decode("".join(data["image/png"]))
        return f"![output]({picture.rpartition('/')[2]})"
    if "text/html" in data:
        return "".join(data["text/html"]).replace("\n\n", "\n")  # an empty line would end the block for Markdown
    return _fenced("".join(data.get("text/plain", "")), "text")


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{_COLOURS.sub('', text).rstrip()}\n{fence}"
