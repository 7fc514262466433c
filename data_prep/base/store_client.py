"""The door to fsspec: what lies at a URL is listed, read, written and removed; whatever fails is one line that names the URL.

fsspec and what it needs for a protocol are imported with the first call. An object is written whole or not at all: that is
what all stores promise of a PUT, and what fsspec keeps of it by uploading in parts that the last request joins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import logging
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from data_prep.base import remedies, stores
from data_prep.base.errors import UserError

EXTRA = {
    "s3": "'tfunc[storage]'",
    "s3a": "'tfunc[storage]'",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
}
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "checksum")  # what stores call an object's version
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
CHATTY = ("botocore", "aiobotocore")  # they say where credentials were found, to every log that there is
_NO_BUCKET = re.compile(r"specified bucket does not exist|NoSuchBucket")
LONGEST = 300  # characters of what a store said


class Refused(UserError):
    """The store does not let us do that."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a store says of an object. size: bytes. tag: changes with its content. modified: seconds since 1970, or None."""

    size: int
    tag: str
    modified: float | None


def listed(url: str) -> dict[str, Entry]:
    """{name below the URL: entry} of all objects there, in order of name; the name of an object at the URL itself is empty.

    Raises `UserError` for a store that does not answer, a bucket that is not there, and a name that no file can have.
    """
    with _explained(url) as (system, place):
        found = system.find(place, detail=True)
    place = place.rstrip("/")
    entries = {}
    for key, info in sorted(found.items()):
        key = key.rstrip("/")
        if info.get("type") != "file" or not (key == place or key.startswith(f"{place}/")):
            continue
        name = key[len(place) + 1 :]
        if name and info["name"].endswith("/"):  # a console's mark of a folder
            continue
        _require_name(url, name)
        entries[name] = _entry(info)
    return entries


def _require_name(url, name):
    """Raises `UserError` for a key that would lie elsewhere than below the folder that stands for the URL."""
    if name and any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255 for part in name.split("/")):
        raise UserError(url, expected="names that files can have", found=repr(name)[:LONGEST], do="rename that object")


def _entry(info: Mapping[str, Any]) -> Entry:
    time = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    if isinstance(time, str):
        with contextlib.suppress(ValueError):
            time = datetime.datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime.datetime) else time
    tag = next((str(info[name]) for name in _TAGS if info.get(name) is not None), str(seconds))
    return Entry(int(info["size"] or 0), tag, float(seconds) if isinstance(seconds, (int, float)) else None)


def bring(url: str, path: pathlib.Path) -> bool:
    """Writes the object's content to `path`; whether there is one."""
    try:
        with _explained(url) as (system, place):
            system.get_file(place, str(path))
    except FileNotFoundError:
        return False
    return True


def send(path: pathlib.Path | str, url: str) -> Entry:
    """Writes a file's content as the object, in place of the one that is there; returns what the store says of it."""
    try:
        with _explained(url) as (system, place):
            system.put_file(str(path), place)
            found = _entry(system.info(place))
    except FileNotFoundError as error:
        raise _failed(url, error) from None
    if found.size != (size := os.path.getsize(path)):
        do = "give the same command again"
        raise UserError(url, expected=f"the {size} bytes that were written", found=f"{found.size}", do=do)
    return found


def create(url: str, content: bytes) -> bool:
    """Writes an object that must not be there yet; whether it was written. Of two that try at once one is told so.

    S3 and Google's store decide it themselves; of others fsspec looks first.
    """
    try:
        with _explained(url) as (system, place):
            system.pipe_file(place, content, mode="create")
    except FileExistsError:
        return False
    except FileNotFoundError as error:
        raise _failed(url, error) from None
    return True


def write(url: str, content: bytes) -> None:
    """Writes an object."""
    try:
        with _explained(url) as (system, place):
            system.pipe_file(place, content)
    except FileNotFoundError as error:
        raise _failed(url, error) from None


def read(url: str) -> bytes | None:
    """An object's content, or None where there is none."""
    try:
        with _explained(url) as (system, place):
            return bytes(system.cat_file(place))
    except FileNotFoundError:
        return None


def delete(url: str) -> None:
    """Removes an object, if it is there."""
    with contextlib.suppress(FileNotFoundError), _explained(url) as (system, place):
        system.rm_file(place)


@contextlib.contextmanager
def _explained(url: str) -> Iterator[tuple[Any, str]]:
    """Yields (fsspec's file system, the place in it); what is not there, or is there already, is left to who asks."""
    try:
        system = _system(url.partition("://")[0], url.partition("://")[2].partition("/")[0], os.getpid())
        yield system, system._strip_protocol(url)
    except (UserError, FileExistsError):
        raise
    except FileNotFoundError as error:
        if _NO_BUCKET.search(str(error)):
            raise _failed(url, error) from None
        raise
    except Exception as error:  # each store has errors of its own
        if isinstance(error, OSError) and (number := error.errno) in remedies.FULL and number is not None:
            raise remedies.told(stores.root(), number) from None
        raise _failed(url, error) from None


@functools.lru_cache(maxsize=64)
def _system(protocol, store, process):
    where = f"{protocol}://{store}"
    try:
        import fsspec
    except ImportError:
        do = "pip install 'tfunc[storage]'"
        raise UserError(where, expected="fsspec", found="no such package", do=do) from None
    if protocol not in fsspec.available_protocols():
        raise UserError(where, expected="a protocol that fsspec knows, as s3, gs or abfs", found=protocol)
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        do = f"pip install {EXTRA.get(protocol, 'what it names')}"
        raise UserError(where, expected=f"the package that opens {protocol}://", found=error, do=do) from None
    for chatty in CHATTY:
        if (log := logging.getLogger(chatty)).level == logging.NOTSET:
            log.setLevel(logging.WARNING)
    return kind(**kind._get_kwargs_from_urls(where), use_listings_cache=False)


def _failed(url, error):
    """The line for what a store or the way to it said."""
    found = re.sub(r"\s+", " ", str(error)).strip()[:LONGEST] or type(error).__name__
    if isinstance(error, PermissionError):
        expected, do = "permission to read and write there", "look at the credentials and what they may do"
        return Refused(url, expected=expected, found=found, do=do)
    if "Credentials" in type(error).__name__:
        do = "set them as the store's own tools have them, such as AWS_ACCESS_KEY_ID or ~/.aws"
        return Refused(url, expected="credentials", found=found, do=do)
    if isinstance(error, FileNotFoundError):
        return UserError(url, expected="a bucket there", found=found, do="look at the URL, or make the bucket")
    do = "look at the URL, the network and the endpoint, and give the same command again"
    return UserError(url, expected="a store that answers", found=found, do=do)
