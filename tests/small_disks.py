"""Disks of the tests' own: a file system in memory, mounted where this process may mount one, full or read-only when asked."""

import contextlib
import os
import subprocess

import pytest

SIZE = 48 << 20  # bytes


def _call(*command):
    return subprocess.run(command, capture_output=True, text=True)


class Disk:
    """A mounted file system. folder: where it is mounted."""

    def __init__(self, folder):
        self.folder = folder

    @property
    def used(self):
        """Bytes that files take there."""
        state = os.statvfs(self.folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    @contextlib.contextmanager
    def full_but(self, free):
        """While the block runs, so many bytes are free, rounded up to a page of 4 KiB."""
        path, state = self.folder / ".filler", os.statvfs(self.folder)
        size = state.f_bavail * state.f_frsize - -(-free // 4096) * 4096
        with open(path, "wb") as file:
            if size > 0:
                os.posix_fallocate(file.fileno(), 0, size)
        try:
            yield
        finally:
            path.unlink()

    @contextlib.contextmanager
    def read_only(self):
        """While the block runs, nothing can be written there, by the super-user neither."""
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, how):
        ended = _call("mount", "-o", f"remount,{how}", str(self.folder))
        assert ended.returncode == 0, ended.stderr


@contextlib.contextmanager
def mounted(folder):
    """Yields a `Disk` at the folder, which is empty and there; skips the test where nothing may be mounted."""
    with contextlib.suppress(FileNotFoundError):
        ended = _call("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder))
        if ended.returncode == 0:
            try:
                yield Disk(folder)
            finally:
                _call("umount", "--lazy", str(folder))
            return
        pytest.skip(f"this process may not mount a file system: {ended.stderr.strip()}")
    pytest.skip("no `mount` on this system")
