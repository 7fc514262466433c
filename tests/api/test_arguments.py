"""What goes wrong below a Python call is said in Python's words, at the caller's line."""

import warnings

import pytest

from data_prep.base import notices
from data_prep.base.errors import NotReady, UserError, command
from tfunc.api import arguments, one_subject


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("maps", do="add --kind=error|sigma"), "maps; add kind=error|sigma"),
        (
            UserError("--label_map", expected="no `--regions`", found="both"),
            "label_map: expected no `regions`, found both",
        ),
        (UserError("/a/--b/c", expected="x-- y", found=3), "/a/--b/c: expected x-- y, found 3"),
        (
            NotReady("run", do=("or ", command("train", method="tta"))),
            "run; or `python launch/train.py --method=tta`",
        ),
    ],
)
def test_flags_are_arguments(error, line):
    """Paths and commands stay as they are, and so does the kind of the error."""

    @arguments.named
    def fail():
        raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert str(raised.value) == line


def test_a_warning_names_the_callers_line():
    """However many functions of ours lie between."""
    with pytest.warns(UserWarning, match="the axes were turned") as found, one_subject._warned():
        notices.once("order", "the axes were turned")
    assert found[0].filename == __file__
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        arguments.named(arguments.warn)("give --kind")
    assert (found[0].filename, str(found[0].message)) == (__file__, "give kind")
