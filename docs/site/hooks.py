"""What mkdocs calls while it builds the site: adds the pages that are made from the code, and mends links that leave docs/.

mkdocs.yml names this file; its neighbours write the pages.
"""

from __future__ import annotations

import pathlib
import re
from typing import Any

import flag_pages
import notebook_pages
import python_pages
import schema_pages
from mkdocs.structure.files import File
from pygments.formatters import HtmlFormatter

ROOT = pathlib.Path(__file__).resolve().parents[2]
# files beside docs/ that are pages of the site too, and where
BESIDE = {name: f"project/{name}" for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "BUILD_NOTES.md")}
HOME = "README.md"  # the site's front page
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<after>(?:#[^)\s]*)?)\)")
# how a block of commands is tried, in the words of tests/test_docs.py; who reads the page is told of the second kind only
_MARK = re.compile(r"<!-- (needs [^>]+?) -->\n")


def on_files(files: Any, config: Any) -> Any:
    """Adds the generated pages, and those that lie beside docs/."""
    made = {"reference/flags.md": flag_pages.page(ROOT), **schema_pages.pages(), **notebook_pages.pages(ROOT / "docs")}
    made |= {place: (ROOT / name).read_text(encoding="utf-8") for name, place in BESIDE.items()}
    made["reference/python.md"] = python_pages.page()
    made["css/code.css"] = _colours()
    made["index.md"] = (ROOT / HOME).read_text(encoding="utf-8")
    for place, content in made.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links by where pages are in the site; a link to a file of the code becomes its name."""
    here = _source(page.file.src_uri)
    led = _LINK.sub(lambda link: _led(link, here, page.file.src_uri), markdown)
    return _MARK.sub(r"*This \1.*\n\n", led)


def _colours() -> str:
    """Style sheet of code, light and dark."""
    light, dark = HtmlFormatter(style="default"), HtmlFormatter(style="github-dark")
    wide = "table { display: block; overflow-x: auto; }\n"
    return wide + light.get_style_defs(".codehilite") + dark.get_style_defs("[data-bs-theme=dark] .codehilite")


def _source(place: str) -> str:
    """Where the page lies in the repository, by its place in the site."""
    back = {target: name for name, target in BESIDE.items()} | {"index.md": HOME}
    return back.get(place, f"docs/{place}")


def _led(link: re.Match[str], here: str, place: str) -> str:
    text, target, after = link["text"], link["target"], link["after"]
    if "://" in target or target.startswith("mailto:"):
        return link[0]
    found = _normal(pathlib.PurePosixPath(here).parent / target)
    if found.startswith("docs/"):
        in_site = found.removeprefix("docs/")
    elif found == HOME:
        in_site = "index.md"
    elif found in BESIDE:
        in_site = BESIDE[found]
    elif (ROOT / found).exists():
        return f"{text}"  # a file of the code, of which the site has no page: its name
    else:
        return link[0]  # mkdocs says that it leads nowhere
    return f"[{text}]({_relative(in_site, place)}{after})"


def _normal(path: pathlib.PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _relative(target: str, place: str) -> str:
    up = len(pathlib.PurePosixPath(place).parts) - 1
    return "../" * up + target
