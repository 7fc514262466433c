"""Folders by URL: `s3://bucket/runs/brats` stands for a folder below a cache, which is brought up to date and written through.

All code works on local paths. Below the cache's root the path is the URL's own: `<root>/s3/bucket/runs/brats`. Here is what
changes a file there: the object is written first, by one PUT, then the local file is renamed, and the next file follows only
then. An order of renames that is safe against a kill at any moment is so in the store, too: the JSON that vouches is there
last and gone first. `mirrors` brings what others wrote. A plain path costs a look at the environment, and imports no fsspec.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import shutil
from collections.abc import Callable

from data_prep.base import store_index as index
from data_prep.base.errors import UserError

ROOT = "TFUNC_STORES"  # in the environment of a process, and so of those that it starts, once it has a folder by URL: the root
CACHE = "TFUNC_CACHE"  # where a user wants it
UPLOADING = ".uploading-"  # the object beside a folder that is being written: nobody reads the folder while it is there
THREADS = 8  # transfers at a time
Path = pathlib.Path | str

_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]*)://(?P<place>.+)", re.DOTALL)
guards: list[Callable[[], None]] = []  # called before anything is written: a lease that was lost raises


def is_url(value: object) -> bool:
    """Whether a flag's value is a URL and not a path."""
    return isinstance(value, str) and "://" in value


def root() -> str | None:
    """The root of the cache where this process has folders by URL, else None."""
    return os.environ.get(ROOT)


def use(cache: str | None) -> None:
    """Makes this process, and those that it starts, know the folders of a cache; `root()` of another process, or None."""
    if cache is not None:
        os.environ[ROOT] = cache


def local(url: str) -> pathlib.Path:
    """The local path that stands for a URL, of one of a file the path itself; raises `UserError` for what can't have any."""
    found = _URL.fullmatch(url)
    if found is None or "::" in url:
        raise UserError(url, expected="one URL, as s3://bucket/folder", found="another form")
    protocol, place = found["protocol"], found["place"].rstrip("/")
    if protocol in ("file", "local"):
        return pathlib.Path(place)
    parts = place.lstrip("/").split("/")
    if "@" in parts[0] and ":" in parts[0]:
        raise UserError(
            f"{protocol}://…", expected="a URL without a password", do="give it as the store's own tools have it"
        )
    if len(parts) < 2 or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise UserError(url, expected="a bucket and a folder in it, as s3://bucket/folder", found="another form")
    if root() is None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        use(os.path.realpath(os.environ.get(CACHE) or os.path.join(home, "tfunc")))
    os.makedirs(str(root()), mode=0o700, exist_ok=True)  # it will hold patients' data
    return pathlib.Path(str(root()), protocol, *parts)


def place(given: Path) -> pathlib.Path:
    """The local path of a path or a URL; nothing is brought. Raises `UserError` as `local`."""
    return local(given) if is_url(given) else pathlib.Path(given)  # type: ignore[arg-type]


def of(path: Path) -> str | None:
    """The URL that a path stands for; None for a plain one."""
    if (top := root()) is None:
        return None
    text = os.path.abspath(path)
    if not text.startswith(f"{top}/"):
        return None
    protocol, _, place = text[len(top) + 1 :].partition("/")
    return f"{protocol}://{place}" if "/" in place else None


def shown(path: Path) -> str:
    """A path as the user knows it: its URL, where it stands for one."""
    return of(path) or str(path)


def told(text: str) -> str:
    """A text with paths in it as the user knows them."""
    top = root()
    if top is None or top not in text:
        return text
    return re.sub(rf"{re.escape(top)}/([a-z][a-z0-9+.-]*)/(?=[^/\s])", r"\1://", text)


def replace(temporary: Path, path: Path) -> None:
    """`os.replace` of a file that was written aside; in a store its bytes are the object's, at once, before anything follows."""
    url = of(path)
    if url is None:
        os.replace(temporary, path)
        return
    from data_prep.base import store_client as client

    _guard()
    tag = client.send(temporary, url).tag
    with index.settling(str(root())):
        os.replace(temporary, path)
        index.add(str(root()), path, tag)


def rename(source: Path, path: Path) -> None:
    """`os.replace` of a file that others may read already. In a store both are there for a moment."""
    url = of(source)
    replace(source, path)
    if url is not None:
        _delete(url)


def remove(path: Path, missing_ok: bool = False) -> None:
    """Removes a file, in a store the object first. missing_ok: whether it need not be there."""
    url = of(path)
    if url is not None:
        _guard()
        _delete(url)
    pathlib.Path(path).unlink(missing_ok=missing_ok or url is not None)


def remove_tree(path: Path) -> None:
    """Removes a folder with all in it, whatever can be removed; leases stay their owners'."""
    url = of(path)
    if url is not None:
        from data_prep.base import store_client as client

        _guard()
        names = [name for name in client.listed(url) if not is_lease(name)]
        for documents in (True, False):  # what vouches goes first
            _each(_delete, [f"{url}/{name}" for name in names if is_document(name) is documents])
        if names:
            _delete(_mark(url))
    shutil.rmtree(path, ignore_errors=True)


def publish_folder(temporary: Path, path: Path) -> None:
    """`os.rename` of a folder that was written aside. In a store nobody reads it before its last object is there."""
    url = of(path)
    if url is None:
        os.rename(temporary, path)
        return
    from data_prep.base import store_client as client

    _guard()
    client.write(_mark(url), b"")
    files = sorted(file for file in pathlib.Path(temporary).rglob("*") if file.is_file())
    names = [file.relative_to(temporary).as_posix() for file in files]
    for name in client.listed(url):  # of one that was killed
        if name not in names:
            _delete(f"{url}/{name}")
    tags = _each(lambda pair: client.send(pair[0], f"{url}/{pair[1]}").tag, list(zip(files, names, strict=True)))
    with index.settling(str(root())):
        os.rename(temporary, path)
        for name, tag in zip(names, tags, strict=True):
            index.add(str(root()), pathlib.Path(path, name), tag)
    _delete(_mark(url))


def is_document(name: str) -> bool:
    """Whether an object may vouch for others: it is brought after them, and taken away before them."""
    return name.endswith(".json")


def is_lease(name: str) -> bool:
    """Whether an object is a lock's, which stands for no file."""
    return re.search(r"\.lease/\d+$", name) is not None


def hidden(names: list[str]) -> list[str]:
    """Beginnings of names, below the same URL, of folders that are being written, or were when their writer was killed."""
    found = []
    for name in names:
        folder, slash, last = name.rpartition("/")
        if last.startswith(UPLOADING):
            found.append(f"{folder}{slash}{last.removeprefix(UPLOADING)}/")
    return found


def _mark(url):
    folder, _, name = url.rpartition("/")
    return f"{folder}/{UPLOADING}{name}"


def _delete(url):
    from data_prep.base import store_client as client

    client.delete(url)


def _each(function, items):
    """`function` of every item, several at a time; the first failure is raised."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(function, items))


def _guard():
    for guard in list(guards):
        guard()
