"""The ways a command may end early that are not bugs. `launch/program.py` turns them into one line and an exit code."""


class UserError(Exception):
    """Something the user can mend; exit code 2.

    The message is one line: what it is about (a file, a folder, a flag), what was expected there, what was found, and
    what to do next.
    """

    exit_code = 2

    def __init__(self, where, *, expected=None, found=None, do=None):
        parts = []
        if expected is not None:
            parts.append(f"expected {expected}")
        if found is not None:
            parts.append(f"found {found}")
        message = f"{where}: {', '.join(parts)}" if parts else str(where)
        super().__init__(" ".join((message + (f"; {do}" if do else "")).split()))
        self.arguments = (str(where), expected, found, do)

    def __reduce__(self):  # keyword arguments survive the way back from a worker process
        where, expected, found, do = self.arguments
        return _rebuild, (type(self), where, expected, found, do)


class NotReady(UserError):
    """Another command must run first; exit code 3. `do` names that command."""

    exit_code = 3


class Stopped(Exception):
    """A signal asked a long command to stop: its state is saved and the same command continues.

    Exit code 143, as a shell reports SIGTERM.
    """

    exit_code = 143


def _rebuild(cls, where, expected, found, do):
    return cls(where, expected=expected, found=found, do=do)
