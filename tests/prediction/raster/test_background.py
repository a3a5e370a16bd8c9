"""Work in a thread: order, errors, and an end at any time."""

import itertools
import threading

import pytest

from keras_deeplab.prediction.raster.background import in_background


def test_items_arrive_in_order():
    with in_background(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))


def test_items_are_computed_in_another_thread_ahead_of_their_use():
    computed, second = [], threading.Event()

    def work():
        for index in range(5):
            computed.append(threading.current_thread())
            if index == 1:
                second.set()
            yield index

    with in_background(work(), 2) as items:
        assert second.wait(10)
        assert len(computed) == 2  # the third is computed when there is room
        assert list(items) == [0, 1, 2, 3, 4]
    assert threading.main_thread() not in computed


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_an_error_is_raised_where_the_item_is_used(error):
    def work():
        yield 1
        raise error

    found = []
    with pytest.raises(type(error)), in_background(work(), 4) as items:
        for item in items:
            found.append(item)
    assert found == [1]


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_leaving_early_ends_an_endless_thread(taken):
    before = threading.active_count()
    with in_background(itertools.count(), 2) as items:
        assert list(itertools.islice(items, taken)) == list(range(taken))
    assert threading.active_count() == before


def test_an_error_of_the_user_ends_nested_threads():
    before = threading.active_count()
    with (
        pytest.raises(RuntimeError, match="mine"),
        in_background(itertools.count(), 2) as inner,
        in_background((item + 1 for item in inner), 1) as outer,
    ):
        assert next(outer) == 1
        raise RuntimeError("mine")
    assert threading.active_count() == before
