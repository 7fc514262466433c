"""What lies in a store brought to the local folder that stands for it, and what grows there, logs, taken to the store.

A look lists the folder's objects, brings those that differ and removes what is gone, until a listing finds nothing to do: the
folder is then what the store was at one moment. Payload is brought before the JSON that vouches for it, and JSON is removed
first, so that whoever reads the folder meanwhile finds it unfinished and not wrong.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from data_prep.base import leftovers, stores
from data_prep.base import store_index as index
from data_prep.base.errors import UserError

LOOKS = 10  # at most, where others keep writing
LARGE = 64 << 20  # bytes that are worth a line
_GROWS = re.compile(r"(^|/)(events\.out\.tfevents[^/]*|[^/]+\.log)$")  # what is not written aside, but grows
_LOCAL = re.compile(r"(^|/)(\.partial-[^/]*|[^/]*\.lock|[^/]*\.lock\.lease)$")  # what is this machine's own affair
Wants = Callable[[str], bool]  # of a name below the folder: whether this program reads it

_fetched: set[tuple[str, str]] = set()  # of whom, and which
_fetching = threading.Lock()
_looked: dict[str, tuple[float, Wants]] = {}  # folders that were brought: when, and what of them


class _Part(NamedTuple):
    """A name below a folder, its file here and what the store says of it."""

    name: str
    path: pathlib.Path
    entry: Any


def everything(name: str) -> bool:
    """Wants all."""
    return True


def fetch(path: stores.Path, wants: Wants = everything, say: Callable[[str], Any] = print) -> None:
    """Makes the folder or file of a URL what the store has, so far as it is wanted; what is not wanted is not left outdated.

    Nothing for a plain path. say: called with a line where much is brought. Raises `UserError` naming the URL.
    """
    url = stores.of(path)
    if url is None:
        return
    path = pathlib.Path(path)
    os.makedirs(str(stores.root()), mode=0o700, exist_ok=True)
    with index.alone(str(stores.root()), url):  # who waited finds nothing left to bring
        for _ in range(LOOKS):
            if not _look(url, path, wants, say):
                break
    _looked[str(path)] = time.monotonic(), wants


def here(place: stores.Path, wants: Wants = everything) -> pathlib.Path:
    """The local folder or file of a path or a URL, for Python, where no program has brought what its flags name."""
    path = stores.place(place)
    fetch(path, wants, lambda line: None)
    return path


def fetch_each(paths: Iterable[stores.Path]) -> None:
    """`fetch` of several files or folders, several at a time; for a function that is called on another machine."""
    asked = [path for path in paths if stores.of(path) is not None]
    if asked:
        with concurrent.futures.ThreadPoolExecutor(stores.THREADS) as threads:
            list(threads.map(fetch, asked))


def brought() -> dict[str, Wants]:
    """The folders that this process brought, and what of them: for `fetch_once` of another one, where the paths are the same."""
    return {path: wants for path, (_, wants) in _looked.items()}


def fetch_once(of: str, folders: Mapping[str, Wants]) -> None:
    """`fetch` of the folders that another process brought, unless that was done here for it already. of: that process."""
    for path, wants in folders.items():
        with _fetching:  # calls may come in several threads
            if (of, path) not in _fetched:
                fetch(path, wants, lambda line: None)
                _fetched.add((of, path))


def again(path: stores.Path, seconds: float) -> None:
    """`fetch` as it was asked for before, where that is so many seconds ago; for who waits for what others write."""
    when, wants = _looked.get(str(path), (None, everything))
    if when is not None and time.monotonic() - when > seconds:
        fetch(path, wants, lambda line: None)


def _look(url: str, path: pathlib.Path, wants: Wants, say: Callable[[str], Any]) -> bool:
    """One listing, and what follows from it; whether anything was brought."""
    from data_prep.base import store_client as client

    # Both before the listing: what was in the store by then, and is not in it, is gone; a log that is taken there later isn't.
    here, top = _here(path), str(stores.root())
    with index.settling(top):
        pass  # until what another process has renamed before that is in the journal, too
    known = index.read(top)
    there = client.listed(url)
    out = tuple(stores.hidden(list(there)))
    there = {
        name: entry
        for name, entry in there.items()
        if not (stores.is_lease(name) or name.startswith(out) or stores.UPLOADING in name)
    }
    parts = [_Part(name, path / name if name else path, entry) for name, entry in there.items()]
    differ = [part for part in parts if not _is_same(part, here.get(part.name), known, top)]
    bring = [part for part in differ if wants(part.name)]
    others = {part.name for part in differ if stores.is_document(part.name) or not wants(part.name)}
    gone = [name for name in here if name not in there or name in others]
    gone = [name for name in gone if not name.startswith(out)]  # a folder that is written, here perhaps
    for name in sorted(gone, key=lambda name: not stores.is_document(name)):
        if not _is_ahead(name, path / name, known, top):
            _drop(path / name if name else path, here[name], path)
    size = sum(part.entry.size for part in bring)
    if size > LARGE:
        say(f"{url}: brings {len(bring)} files, {size / 1e6:,.0f} MB")
    for documents in (False, True):
        _bring_all(url, [part for part in bring if stores.is_document(part.name) is documents], here, top)
    return bool(bring)


def _here(path: pathlib.Path) -> dict[str, tuple[int, int]]:
    """{name: size and time of change} of the files of a folder that a store can have; of a file {"": …}."""
    if path.is_file():
        found = index.stat_of(path)
        return {} if found is None else {"": found}
    files = {}
    for folder, _, names in os.walk(path):
        if leftovers.meant(folder) != folder:  # a folder that is being written aside
            continue
        for name in names:
            below = pathlib.Path(folder, name).relative_to(path).as_posix()
            if not _LOCAL.search(below) and (stat := index.stat_of(pathlib.Path(folder, name))) is not None:
                files[below] = stat
    return files


def _is_same(part, stat, known, top):
    """Whether a file is what the store has, or ahead of it: a log that grows here."""
    one = known.get(os.path.relpath(part.path, top))
    if stat is None:
        return False
    if one is not None and (one.size, one.modified) == stat:
        return one.tag == part.entry.tag
    return _GROWS.search(part.name) is not None


def _is_ahead(name, path, known, top):
    """Whether a file grows here and was not taken to the store since."""
    if _GROWS.search(name) is None:
        return False
    one = known.get(os.path.relpath(path, top))
    return one is None or (one.size, one.modified) != index.stat_of(path)


def _drop(path, stat, folder):
    """Removes a file that the store has no more, unless it was written since; and the folders that are empty then."""
    with index.settling(str(stores.root())):
        if index.stat_of(path) == stat:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for parent in path.parents:
            if not parent.is_relative_to(folder):
                break
            parent.rmdir()


def _bring_all(url, parts, here, top):
    with concurrent.futures.ThreadPoolExecutor(stores.THREADS) as threads:
        under_way = [threads.submit(_bring, url, part, here.get(part.name), top) for part in parts]
        try:
            for one in under_way:
                one.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _bring(url, part, stat, top):
    """Brings one object, aside first; where the file was written meanwhile, by a process of this machine, that one counts."""
    from data_prep.base import store_client as client

    path = part.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(
            url, expected="names of files or of folders", found=f"{part.name} below one that is both"
        ) from None
    temporary = path.with_name(leftovers.partial(f"{path.name}.brought"))  # beside one that `aside` writes now
    try:
        if not client.bring(f"{url}/{part.name}" if part.name else url, temporary):
            return  # removed meanwhile: the next look finds it gone
        if part.entry.modified is not None:  # the same on each machine that brings it
            os.utime(temporary, (part.entry.modified, part.entry.modified))
        with index.settling(top):
            if index.stat_of(path) in (stat, None):
                os.replace(temporary, path)
                index.add(top, path, part.entry.tag)
    finally:
        temporary.unlink(missing_ok=True)


def push(path: stores.Path) -> None:
    """Takes the logs of a folder that grew, TensorBoard's files and a study's, to its store; nothing for a plain path."""
    url = stores.of(path)
    if url is None or not pathlib.Path(path).is_dir():
        return
    from data_prep.base import store_client as client

    path, top = pathlib.Path(path), str(stores.root())
    known = index.read(top)
    for name, stat in _here(path).items():
        if not _GROWS.search(name) or not _is_ahead(name, path / name, known, top):
            continue
        copy = pathlib.Path(path, name).with_name(leftovers.partial(f"{pathlib.PurePath(name).name}.sent"))
        try:
            shutil.copyfile(path / name, copy)  # it may grow while it is sent
            tag = client.send(copy, f"{url}/{name}").tag
        finally:
            copy.unlink(missing_ok=True)
        if index.stat_of(path / name) == stat:
            index.add(top, path / name, tag)


def fetch_around(path: stores.Path) -> None:
    """Brings anew the folder that this process brought and that a path lies in: what others wrote before they let go of it."""
    for folder, (_, wants) in list(_looked.items()):
        if pathlib.Path(path).is_relative_to(folder):
            fetch(folder, wants, lambda line: None)
