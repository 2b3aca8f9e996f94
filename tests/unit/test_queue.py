"""The queue of pending jobs by itself: order, and leaving from anywhere (LIMIT-5, COST-1, BOOK-3)."""

import gc
import weakref
from collections import OrderedDict
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiojobs._queue import Node, Queue

pytestmark = pytest.mark.requirement("LIMIT-5")


class Member(Node):
    """Stands in for a job."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number):
        super().__init__()
        self.number = number


def linked(member):
    return member.is_queued() or member.before is not None


STEPS = st.sampled_from(["join", "join", "join", "pop", "leave", "clear"])


@settings(derandomize=True)
@given(st.lists(STEPS, max_size=40), st.randoms())
def test_the_queue_does_what_an_ordered_dict_does(steps, random):
    queue, model, numbers = Queue(), OrderedDict(), count()
    for step in steps:
        if step == "join":
            member = Member(next(numbers))
            queue.join(member)
            model[member] = None
        elif model and step == "pop":
            assert queue.pop() is model.popitem(last=False)[0]
        elif model and step == "leave":
            member = random.choice(list(model))
            queue.leave(member)
            del model[member]
            assert not linked(member)
        elif step == "clear":
            assert queue.clear() == list(model)
            assert not any(map(linked, model))
            model.clear()
        assert list(queue) == list(model)
        assert bool(queue) is bool(model)


def test_who_has_left_cannot_leave_again():
    queue, member = Queue(), Member(1)
    queue.join(member)
    queue.leave(member)
    with pytest.raises(AttributeError):
        queue.leave(member)
    assert list(queue) == []


@pytest.mark.requirement("BOOK-3")
def test_who_has_left_is_held_by_nobody():
    queue, members = Queue(), [Member(number) for number in range(4)]
    for member in members:
        queue.join(member)
    gone = [weakref.ref(member) for member in members[:3]]
    queue.leave(members[1])
    queue.leave(members[2])
    queue.pop()
    gc.disable()
    try:
        del member, members[:3]
        assert [ref() for ref in gone] == [None, None, None]
    finally:
        gc.enable()
    assert list(queue) == members
