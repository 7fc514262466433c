"""What goes wrong below a Python call is said in Python's words, at the caller's line."""

import pytest

from data_prep.base import notices
from data_prep.base.errors import NotReady, UserError, command
from tfunc.api import arguments, one_subject


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("maps", do="add --kind=error|sigma"), "maps; add kind=error|sigma"),
        (UserError("--labels", expected="no `--kind`", found="both"), "labels: expected no `kind`, found both"),
        (UserError("--engine=openvino", found="none"), "own_engine=openvino: found none"),
        # no arguments of that function: of another program, or flags of ours that Python has not
        (UserError("a.dcm", do="use `gdcmconv --raw`, or --methods"), "a.dcm; use `gdcmconv --raw`, or --methods"),
        (UserError("/a/old --kind/b", expected="x-- y", found=3), "/a/old --kind/b: expected x-- y, found 3"),
        (NotReady("run", do=("or ", command("train", kind="tta"))), "run; or `python launch/train.py --kind=tta`"),
    ],
)
def test_flags_are_arguments(error, line):
    """Those that the function has. Paths and commands stay as they are, and so does the kind of the error."""

    @arguments.named
    def fail(labels=None, kind=None, own_engine=None):
        raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert str(raised.value) == line


def test_a_warning_names_the_callers_line():
    """However many functions of ours lie between."""
    with pytest.warns(UserWarning, match="the axes were turned") as found, one_subject._warned():
        notices.once("order", "the axes were turned")
    assert found[0].filename == __file__


def test_a_warning_in_code_that_has_no_name():
    """As hosts of plugins run it: by `exec`, with nothing but what the code itself defines."""
    with pytest.warns(UserWarning, match="once") as found:
        exec("arguments.named(lambda: arguments.warn('once'))()", {"arguments": arguments})
    assert found[0].filename == "<string>"
