"""What every launcher shares: flags read with our exit codes, errors as one line, quiet TensorFlow."""

import errno
import os
import re
import shlex
import sys

from absl import app, flags

from data_prep.base import processes as workers
from data_prep.base.errors import Stopped, UserError

workers.set_environment()  # a launcher may import TensorFlow on its own

MENDABLE = {  # what a full or protected disk, or a file where a folder should be, says
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "ENOENT", "ENOTDIR", "EEXIST", "EISDIR")
}


def _flags_parser(argv):
    """absl's own parser answers a bad flag with exit code 1 and several lines; ours gives one line and 2."""
    try:
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise UserError(f"argument {rest[1]!r}", expected="flags of the form --name=value", do="see --helpshort")
        return rest
    except SystemExit:
        sys.exit(0)  # absl ends here after --help, with 1
    except flags.Error as error:
        _stop(f"{' '.join(str(error).split())}; see --helpshort", UserError.exit_code)
    except UserError as error:
        _stop(str(error), error.exit_code)


def _stop(message, code):
    sys.stdout.flush()
    print(f"error: {_as_typed(message)}", file=sys.stderr, flush=True)
    sys.exit(code)


def _as_typed(message):
    """The library names the command to run first; the folders that the user gave belong to it too."""
    given = [name for name in ("data_dir", "run_dir") if name in flags.FLAGS and flags.FLAGS[name].present]
    folders = {name: f" --{name}={shlex.quote(flags.FLAGS[name].value)}" for name in given}

    def complete(found):
        return f"`{found[1]}{''.join(flag for name, flag in folders.items() if f' --{name}=' not in found[1])}`"

    return re.sub(r"`(python launch/(?:train|predict|evaluate|study)\.py [^`]*)`", complete, message)


def run(main):
    """Runs `main()` under absl. `UserError` becomes one line and its exit code; any other exception is a bug (1)."""

    def guarded(_):
        try:
            return main()
        except UserError as error:
            _stop(str(error), error.exit_code)
        except Stopped as stopped:
            _stop(str(stopped), stopped.exit_code)
        except BrokenPipeError:  # whoever read our output has had enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except OSError as error:
            if error.errno not in MENDABLE:
                raise
            _stop(f"{error.filename or 'the disk'}: {error.strerror}", UserError.exit_code)
        except KeyboardInterrupt:
            _stop("interrupted; the same command continues where it stopped", 130)

    app.run(guarded, flags_parser=_flags_parser)
