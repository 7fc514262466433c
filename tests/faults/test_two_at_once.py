"""Two of each program at once in one place: what one alone would make, and one of them is told who is at work."""

import pytest
import told
import writing_programs
from writing_programs import tried  # noqa: F401 - a fixture

NAMES = [name for name, program in writing_programs.BY_NAME.items() if not program.heavy]


@pytest.mark.long(but=["prepare"])
@pytest.mark.parametrize("name", NAMES)
def test_two_of_a_program(tried, name):  # noqa: F811
    """Both end well, or one with 3 and the other's process in its line."""
    program = writing_programs.BY_NAME[name]
    tried.undisturbed(program)
    place = tried.lay_out(program)
    both = [tried.start(program) for _ in range(2)]
    ended = [tried.launch.end(one) for one in both]
    assert sorted(one.code for one in ended) in ([0, 0], [0, 3]), [one.err for one in ended]
    for one, other in zip(ended, reversed(both), strict=True):
        if one.code:
            assert f"found process {other[0]} on " in told.line_of(one)
            told.check("another is at work there", name, one, place)
    assert tried.differences(program) == []
