"""What the site makes of the code and of links that leave docs/; `make docs` then builds it, strictly."""

import base64
import inspect
import json
import re
import sys

import pytest
from conftest import ROOT

pytest.importorskip("mkdocs")
sys.path.insert(0, str(ROOT / "docs" / "site"))

import argument_lists
import flag_pages
import griffe
import hooks
import markdown
import notebook_pages
import python_pages
import schema_pages

import tfunc


@pytest.mark.long
def test_every_flag_has_a_row():
    """A section for each program, and in it a row for each of its flags, with default, bounds and words."""
    page = flag_pages.page(ROOT)
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted(flag_pages.programs(ROOT)) and len(sections) >= 10
    assert "| `--samples` | `20` | a whole number, from 1 to 10000 |" in sections["predict"]
    assert re.search(r"\| `--engine` \| `tensorflow` \| `tensorflow`, `openvino` \|", sections["predict"])
    from tfunc.learning.settings import SETTINGS

    assert all(f"| `--{row.name}` |" in sections["train"] for row in SETTINGS)


def test_every_document_has_a_schema():
    """JSON Schema of each form, whose entries all stand in the page with what they may be; no other page is made."""
    made = schema_pages.pages()
    page = made.pop("reference/schemas.md")
    for name in schema_pages.DOCUMENTS:
        schema = json.loads(made.pop(f"reference/schemas/{name}.schema.json"))
        entries = schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert entries and all(f"| `{entry}` |" in section for entry in entries)
    assert not made and "| `samples` | whole number from 0 or null | `null` |" in page


def test_what_python_offers_is_on_its_page():
    """An entry for each name of `tfunc.OFFERS`, at the place where it is defined."""
    page = python_pages.page()
    for name, path in tfunc.OFFERS.items():
        assert f"heading: tfunc.{name}\n" in page and f"::: {path.replace(':', '.')}\n" in page
    assert all(f"- {name}\n" in page for name in ("hd95", "risk_coverage", "ged"))


SAID = """What it does: in a sentence.

scores: float64 [n], higher
is less sure. risks, weights: of them; limit: a number (seed: none). other: no argument. Raises `UserError` for the
rest.

    >>> scores: untouched. risks: untouched.

limit is a word here: and here."""
LISTED = """What it does: in a sentence.

- `scores`: float64 [n], higher
    is less sure.
- `risks`, `weights`: of them
- `limit`: a number (seed: none). other: no argument.

Raises `UserError` for the
rest.

    >>> scores: untouched. risks: untouched.

limit is a word here: and here."""


def test_arguments_become_a_list():
    """An item for each known name that begins a sentence; what is of all stands below; examples are as they were."""
    assert argument_lists.listed(SAID, ("scores", "risks", "weights", "limit", "seed", "What")) == LISTED
    assert argument_lists.listed(SAID, ()) == SAID


@pytest.mark.long
def test_the_page_of_python_has_lists():
    """By the extension that mkdocs.yml names: each argument of `load` is an item, and each field of `Maps`."""
    named = re.search(r'extensions: \["(.*)"\]', (ROOT / "mkdocs.yml").read_text())[1]
    package = griffe.load("tfunc", search_paths=[ROOT], extensions=griffe.load_extensions(str(ROOT / named)))
    for of, names in (
        (package["api.model.load"], inspect.signature(tfunc.load).parameters),
        (package["api.maps.Maps"], ("prediction", "probability", "uncertainty", "volume_ml")),
    ):
        (items,) = re.findall(r"<ul>.*?</ul>", markdown.markdown(of.docstring.value), re.DOTALL)
        begun = re.findall(r"<li>(.*?):", items)
        assert {f"<code>{name}</code>" for name in names} <= set(begun)


@pytest.mark.parametrize(
    ("place", "link", "expected"),
    [
        ("index.md", "[a](docs/howto/study.md#x)", "[a](howto/study.md#x)"),
        ("howto/data.md", "[a](../reference/report.md)", "[a](../reference/report.md)"),
        ("howto/data.md", "[a](../../BUILD_NOTES.md#dependencies)", "[a](../project/BUILD_NOTES.md#dependencies)"),
        ("project/SECURITY.md", "[a](docs/howto/data.md)", "[a](../howto/data.md)"),
        ("project/SECURITY.md", "[a](README.md)", "[a](../index.md)"),
        ("howto/data.md", "[data_prep/tasks.py](../../data_prep/tasks.py)", "data_prep/tasks.py"),
        ("howto/data.md", "[a](gone.md)", "[a](gone.md)"),
        ("howto/data.md", "[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
    ],
)
def test_links(place, link, expected):
    """They lead to the page's place in the site; code, of which it has no page, becomes its name; others are mkdocs' to judge."""
    match = hooks._LINK.search(link)
    if link == "[a](gone.md)":
        expected = "[a](../howto/gone.md)"  # in docs/ as it was, where nothing is: mkdocs says so
    assert hooks._led(match, hooks._source(place), place) == expected


def test_a_notebook_becomes_a_page():
    """Texts, code and outputs, pictures as files, the colours of a terminal taken off."""
    cells = [
        {"cell_type": "markdown", "source": ["# First\n", "hour"]},
        {
            "cell_type": "code",
            "source": ["print(1)"],
            "outputs": [
                {"output_type": "stream", "text": ["\x1b[31m1\x1b[0m\n"]},
                {
                    "output_type": "display_data",
                    "data": {"image/png": base64.b64encode(b"png").decode(), "text/plain": ["x"]},
                },
                {"output_type": "execute_result", "data": {"text/plain": ["{'a': '```'}"]}},
            ],
        },
    ]
    made = notebook_pages.page({"cells": cells}, "tutorial/first_hour")
    page = made["tutorial/first_hour.md"]
    assert "# First\nhour" in page and "```python\nprint(1)\n```" in page and "```text\n1\n```" in page
    assert "![output](first_hour_1.png)" in page and made["tutorial/first_hour_1.png"] == b"png"
    assert "````text\n{'a': '```'}\n````" in page
