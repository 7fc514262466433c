"""A lock of a folder in a store: an object that one process makes, and makes anew every `leases.BEAT` seconds.

`locks` holds it beside the lock of this machine. The objects of a lock are numbered, `.lock.lease/00000007`: who finds none that
lives makes the next number, which must not be there yet, and then looks again whether another lives. So of two that find a
lease lapsed at once, one at most goes on, and one that was silent for too long overwrites nobody's. Before anything is written
it looks whether its lease is still there.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import uuid
from typing import IO, Any

from data_prep.base import leases, leftovers, stores
from data_prep.base.errors import NotReady, UserError

AGAIN = 5.0  # seconds in which who was refused need not ask again
_refused: dict[str, tuple[float, str]] = {}  # {lock: when, who holds it}


class StoreLease(leases.Lease):
    """What a process holds in a store beside its machine's own lock; ends with `close`, or some time after the process."""

    def __init__(self, url: str, document: dict[str, Any], local: IO[str] | leases.Lease):
        self.url, self._document, self._local = url, document, local
        self._lock = url.rpartition("/")[0].removesuffix(".lease")
        self._ended, self._lost, self._beaten = threading.Event(), False, time.monotonic()
        self._beating = threading.Lock()
        self._thread = threading.Thread(target=self._beats, daemon=True)
        self._thread.start()
        stores.guards.append(self.require)

    def _beats(self):
        while not self._ended.wait(leases.BEAT):
            try:
                self._beat()
            except UserError:  # a store that is away for a while
                continue

    def _beat(self):
        from data_prep.base import store_client as client

        with self._beating:
            if self._ended.is_set() or self._lost:
                return
            if client.read(self.url) is None:
                self._lost = True
                return
            silent = time.monotonic() - self._beaten
            client.write(self.url, _content(self._document))
            # after a long silence another may have taken it between the look and the write
            self._lost = silent > leases.LAPSED / 2 and _living(_found(self._lock), self._document) is not None
            self._beaten = time.monotonic()

    def require(self) -> None:
        """Raises `NotReady` where others took the lease for lapsed; called before anything is written to a store."""
        if time.monotonic() - self._beaten > leases.LAPSED / 2:
            self._beat()
        if self._lost:
            found = f"a lease that was not kept alive for {leases.LAPSED:g} seconds, and is another's"
            do = "wait for it to end, then give the same command again"
            raise NotReady(self._lock, expected="a folder that nobody else writes", found=found, do=do)

    def fileno(self) -> int:
        """Of this machine's own lock, for a command to inherit; it does not prolong the lease."""
        return self._local.fileno()

    def close(self) -> None:
        """Lets go."""
        from data_prep.base import store_client as client

        if self._ended.is_set():
            return
        self._ended.set()
        stores.guards.remove(self.require)
        with self._beating:
            try:
                if not self._lost:
                    client.delete(self.url)
            except UserError:  # it lapses
                pass
            finally:
                self._local.close()

    def __enter__(self) -> StoreLease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def taken(url: str, holder: str, local: IO[str] | leases.Lease) -> StoreLease | None:
    """The lease of the lock at a URL, or None where another process keeps one alive.

    local: this machine's own lock, which is closed with it. Raises `PermissionError` where the store can only be read.
    """
    from data_prep.base import store_client as client

    when, _ = _refused.get(url, (None, ""))
    if when is not None and time.monotonic() - when < AGAIN:
        return None
    document = {"holder": holder, "token": uuid.uuid4().hex, "host": leftovers.writer(), "process": os.getpid()}
    found = _found(url)
    if (other := _living(found, document)) is not None:
        return _none(url, other)
    number = max(found, default=0) + 1
    mine = f"{url}.lease/{number:08}"
    try:
        client.create(mine, _content(document))
    except client.Refused as error:
        raise PermissionError(13, str(error), url) from None
    found = _found(url)  # also where it was there: a request that was repeated finds what its first try wrote
    if found.get(number, {}).get("token") != document["token"]:
        return _none(url, found.get(number, {}))
    if (other := _living(found, document)) is not None:
        client.delete(mine)
        return _none(url, other)
    for number_of_old in found:
        if number_of_old != number:
            client.delete(f"{url}.lease/{number_of_old:08}")
    return StoreLease(mine, document, local)


def holder(url: str) -> str | None:
    """Who keeps a lease of the lock alive, in words; None where nobody does."""
    found = _living(_found(url), {})
    return None if found is None else str(found.get("holder") or "another process")


def _none(url, other):
    _refused[url] = time.monotonic(), str(other.get("holder") or "another process")


def _found(url):
    """{number: document} of a lock's leases."""
    from data_prep.base import store_client as client

    found = {}
    for name in client.listed(f"{url}.lease"):
        if re.fullmatch(r"\d{8}", name) and (content := client.read(f"{url}.lease/{name}")) is not None:
            found[int(name)] = _read(content)
    return found


def _living(found, mine):
    """The document of a lease that lives and is not ours, or None. One of this host falls with its process, as a lock does."""
    for document in found.values():
        lapsed = time.time() - document["time"] > leases.LAPSED or leftovers.is_gone(
            document["host"], document["process"]
        )
        if document["token"] != mine.get("token") and not lapsed:
            return document
    return None


def _content(document):
    return json.dumps({**document, "time": time.time()}).encode()


def _read(content):
    """A lease's document; what is none has lapsed."""
    try:
        found = json.loads(content)
        words = {name: str(found[name]) for name in ("holder", "token", "host")}
        return {**words, "process": int(found["process"]), "time": float(found["time"])}
    except (ValueError, TypeError, KeyError, OverflowError):
        return {"holder": "another process", "token": "", "host": "", "process": 0, "time": 0.0}
