"""The commands of the documents: which blocks there are, how each is marked, and what its commands are."""

import dataclasses
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "PACKAGE.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
# what a block needs that no test has: nothing else may stand behind `needs`
NEEDS = (
    "real data",
    "a trained run",
    "maps and labels",
    "a server",
    "Docker",
    "a cluster",
    "a bucket",
    "the package index",
    "ten minutes",
    "half an hour",
)
_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^>]*?) -->\n)?(?P<indent> *)```(?:sh|bash|console|shell)\n(?P<text>.*?)^ *```", re.M | re.S
)
_ENDS = {"|", "&&", ";", "||", "&", ";;", "|&"}


@dataclasses.dataclass(frozen=True)
class Block:
    """place: page and line. mark: what stands in the comment above it, or nothing."""

    place: str
    mark: str
    text: str


def blocks(page):
    """The blocks of shell commands of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(f"{page.relative_to(ROOT).as_posix()}:{line}", found["mark"] or "", found["text"])


def commands(text):
    """Lists of words, a list for each command of some shell, those inside quotes and $(…) too; comments are left out.

    Of $NAME a 0 is made, which every kind of flag but a word takes.
    """
    text = re.sub(r"\\\n\s*", " ", text)
    for inner in re.findall(r"\$\(([^()]+)\)", text):
        yield from commands(inner)
    text = re.sub(r"\$\(\([^)]*\)\)|\$\([^()]+\)|\$\w+", "0", text)
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = []
        for word in [*lexer, ";"]:
            if word in _ENDS:
                yield from _with_inner(words)
                words = []
            else:
                words.append(word)


def _with_inner(words):
    if words:
        yield words
    for word in words[1:]:
        if re.match(r"(python|tfunc) ", word):  # a command in quotes, as sbatch's
            yield from commands(word)


def program(words):
    """(our program, its arguments) of a command, or None for another's."""
    if words[0] == "python" and len(words) > 1 and (found := re.fullmatch(r"launch/(\w+)\.py", words[1])):
        return found[1], words[2:]
    if words[:3] == ["python", "-m", "tfunc"]:
        words = ["tfunc", *words[3:]]
    return (words[1], words[2:]) if words[0] == "tfunc" and len(words) > 1 and words[1].isidentifier() else None
