"""Items made one ahead: in order, no more than one too many, and a fault when it is its turn."""

import threading

import pytest

from data_prep.base.ahead import one_ahead


def test_the_next_is_made_while_the_caller_has_one():
    """While the first is in the caller's hands the second is made, and the third is not begun."""
    begun = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(begun):
            event.set()
            yield number

    found = one_ahead(items())
    assert next(found) == 0
    assert begun[1].wait(5)
    assert not begun[2].wait(0.1)
    assert list(found) == [1, 2, 3]


def test_a_fault_comes_after_the_items_before_it():
    """What making an item raises is raised where it would have been yielded."""

    def items():
        yield 1
        raise ValueError("the second")

    found = one_ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the second"):
        next(found)
