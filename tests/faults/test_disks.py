"""Each program on a full disk and on one that it may not write: one line that names a file, nothing lost, and it goes on.

The disks are real ones, in memory; where nothing may be mounted these tests are skipped. tests/launch/test_edge.py has what
becomes of such errors wherever they come from.
"""

import pytest
import small_disks
import told
import writing_programs
from writing_programs import tried  # noqa: F401 - a fixture

NAMES = list(writing_programs.BY_NAME)


@pytest.fixture
def disk(tried, name):  # noqa: F811
    """A disk of its own at the program's place, which is laid out there."""
    program = writing_programs.BY_NAME[name]
    if not program.heavy:
        tried.undisturbed(program)
    tried.empty(program)
    with small_disks.mounted(tried.place(program)) as mounted:
        tried.lay_out(program)
        yield mounted


def stays(before, place):
    """Whether what was there is there and whole, and nothing half-written beside it."""
    now = writing_programs.outcome(place)
    return {name: now.get(name) for name in before} == before and writing_programs.halves_in(place) == []


def goes_on(tried, program):  # noqa: F811
    """The same command makes what it would have made; of a study its jobs by themselves."""
    if not program.heavy:
        assert tried.run(program).code == 0
        assert tried.differences(program) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "share"),
    # half of what a study needs is met by one of its jobs, which are tried by themselves
    [(name, share) for name in NAMES for share in (0, 0.5) if not (share and writing_programs.BY_NAME[name].heavy)],
)
def test_a_full_disk(tried, disk, name, share):  # noqa: F811
    """Without any room, and with half of what is needed; after room is made the same command makes the same."""
    program = writing_programs.BY_NAME[name]
    place = tried.place(program)
    before = writing_programs.outcome(place)
    with disk.full_but(int(share and share * tried.size(program))):
        ended = tried.run(program)
        line = told.line_of(ended)
        assert ended.code == 2 and f"error: {place}/{program.writes}" in line and "room on" in line, line
        assert stays(before, place)
    if share == 0:
        told.check("a full disk", name, ended, place)
    goes_on(tried, program)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_closed_disk(tried, disk, name):  # noqa: F811
    """One that is mounted read-only."""
    program = writing_programs.BY_NAME[name]
    place = tried.place(program)
    before = writing_programs.outcome(place)
    with disk.read_only():
        ended = tried.run(program)
        line = told.line_of(ended)
        assert ended.code == 2 and f"error: {place}/{program.writes}" in line, line
        assert stays(before, place)
    told.check("a read-only disk", name, ended, place)
    goes_on(tried, program)
