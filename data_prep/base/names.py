"""Names that become paths: of subjects, methods, shards, splits. Each is one component of a path, wherever it came from.

Names are looked at where they enter, from files that somebody else may have written; whoever builds a path of one after that
need not ask again.
"""

from __future__ import annotations

import pathlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from data_prep.base.errors import UserError

LONGEST = (
    200  # bytes in UTF-8: what is added to a name, as `_probability.nii.gz`, must find room in the 255 of a file's
)
PARTIAL = ".partial-"  # what `leftovers` removes
# characters that neither a line nor a file's name can hold: control characters, and halves of others, as JSON can have them; the
# halves between these stand for a byte of a file's name
_NEVER = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udc7f\udd00-\udfff"
# the same as types of our documents' entries; words for people, as a class's name, may hold a slash: no path is made of them
Component = Annotated[str, msgspec.Meta(pattern=rf"^(?!\.{{1,2}}$)(?!\.partial-)[^/{_NEVER}]+$", max_length=LONGEST)]
Words = Annotated[str, msgspec.Meta(pattern=rf"^[^{_NEVER}]+$", max_length=LONGEST)]


def wrong(name: Any, slash: bool = False) -> str:
    """What keeps a name from being one component of a path; empty for nothing. slash: whether it may have one."""
    if not isinstance(name, str):
        return f"a {type(name).__name__}, {shown(name)}"
    if not name.strip():
        return "an empty one"
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name):
        return f"a control character in {shown(name)}"
    if re.search(f"[{_NEVER}]", name):
        return f"half of a character in {shown(name)}"
    if (size := len(name.encode("utf-8", "surrogatepass"))) > LONGEST:
        return f"{size} bytes, {shown(name)}"
    if not slash and ("/" in name or name in (".", "..") or name.startswith(PARTIAL)):
        return shown(name)
    return ""


def checked(name: Any, what: str, where: object, do: str = "rename it", slash: bool = False) -> str:
    """The name as it is; raises `UserError` naming `where` for one that no file or folder of ours may have.

    what: whose name it is, as `a subject`. slash: whether it may have one, as words that no path is made of.
    """
    if found := wrong(name, slash):
        no = "" if slash else "no slash, no dots alone, "
        expected = f"a name for {what} ({no}no control character, at most {LONGEST} bytes)"
        raise UserError(where, expected=expected, found=found, do=do)
    return str(name)


def require(given: Iterable[Any], what: str, where: object, do: str = "rename it") -> None:
    """Raises `UserError` for the first name that is none, and for two that some file systems take for one."""
    there: dict[str, str] = {}
    for name in given:
        key = folded(checked(name, what, where, do))
        if (other := there.setdefault(key, name)) != name:
            raise alike(name, other, where, do)


def alike(name: str, other: str, where: object, do: str = "rename one of them") -> UserError:
    """The error for two names that differ by case or by Unicode form only."""
    found = f"{shown(other)} and {shown(name)}, which one file may be on some disks"
    return UserError(where, expected="names that differ by more than case or Unicode form", found=found, do=do)


def folded(name: str) -> str:
    """What equal names have in common where a file system ignores case or Unicode's forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown(name: Any) -> str:
    """A name as it stands in an error: quoted, control characters spelt out, cut where it is long."""
    text = ascii(name) if isinstance(name, str) and not name.isprintable() else repr(name)
    return text if len(text) <= 60 else f"{text[:57]}…"


def inside(name: Any, where: object, do: str = "correct it") -> pathlib.PurePosixPath:
    """A path that a file lists, relative to its own folder; raises `UserError` where it would lead out of the folder."""
    path = pathlib.PurePosixPath(name) if isinstance(name, str) and "\0" not in name else None
    if path is None or not path.parts or path.is_absolute() or ".." in path.parts:
        raise UserError(where, expected="files inside the folder, as ./folder/file", found=shown(name), do=do)
    return path
