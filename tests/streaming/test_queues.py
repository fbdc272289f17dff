"""Reading ahead and writing behind: order, bounds, errors, and no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from narrows.streaming.plan import QUEUE_BLOCKS
from narrows.streaming.queues import ReadAhead, WriteBehind

LONG = 10.0
WHILE = 0.05


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_items_are_read_in_order() -> None:
    with closing(ReadAhead(lambda: range(50))) as ahead:
        assert [ahead.next() for _ in range(50)] == list(range(50))
        assert ahead.held == 0


def test_the_reader_works_on_a_thread_of_its_own() -> None:
    with closing(ReadAhead(lambda: iter([threading.current_thread()]))) as ahead:
        reader = ahead.next()
    assert reader is not threading.current_thread()
    assert reader.name.startswith("narrows")


def test_the_reader_is_never_more_than_a_queue_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(30):
            made.append(item)
            yield item

    with closing(ReadAhead(items)) as ahead:
        for taken in range(10):
            # One waits in the queue, one is in hand.
            wait_for(lambda: ahead.held == 2)
            assert len(made) == taken + 2
            ahead.next()
        time.sleep(WHILE)
        assert len(made) == 12
    assert len(made) <= 12
    # With the block that the caller computes on, and one that a source may make it from.
    assert QUEUE_BLOCKS >= 2 + 1 + 1


def test_an_error_of_the_reader_comes_after_what_was_read() -> None:
    def items() -> Iterator[int]:
        yield from (0, 1)
        raise OSError("the disk went away")

    with closing(ReadAhead(items)) as ahead:
        assert [ahead.next(), ahead.next()] == [0, 1]
        for _ in range(2):
            with pytest.raises(OSError, match="went away"):
                ahead.next()


def test_an_error_before_the_first_item() -> None:
    def items() -> Iterator[int]:
        raise ValueError("no such band")

    with closing(ReadAhead(items)) as ahead, pytest.raises(ValueError, match="no such band"):
        ahead.next()


def test_more_items_than_there_are() -> None:
    with closing(ReadAhead(lambda: [1])) as ahead:
        ahead.next()
        with pytest.raises(EOFError):
            ahead.next()


def test_closing_a_reader_that_is_blocked_ends_its_iterator() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            ended.set()

    ahead = ReadAhead(items)
    wait_for(lambda: ahead.held == 2)
    ahead.close()
    assert ended.wait(LONG)
    ahead.close()


def test_items_are_written_in_order_on_one_thread() -> None:
    written: list[int] = []
    threads = set()

    def write(item: int) -> None:
        threads.add(threading.current_thread())
        written.append(item)

    with closing(WriteBehind(write)) as behind:
        for item in range(50):
            behind.put(item)
        behind.finish()
        assert behind.held == 0
    assert written == list(range(50))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_finishing_waits_for_the_last_write() -> None:
    written = []

    def write(item: int) -> None:
        time.sleep(WHILE)
        written.append(item)

    with closing(WriteBehind(write)) as behind:
        behind.put(1)
        behind.put(2)
        behind.finish()
        assert written == [1, 2]


def test_a_slow_writer_holds_the_caller_up() -> None:
    go, written = threading.Semaphore(0), []
    given: list[int] = []

    def write(item: int) -> None:
        assert go.acquire(timeout=LONG)
        written.append(item)

    def give() -> None:
        for item in range(6):
            behind.put(item)
            given.append(item)

    with closing(WriteBehind(write)) as behind:
        caller = threading.Thread(target=give, daemon=True)
        caller.start()
        for done in range(4):
            # One is being written, one waits, and the next is in the caller's hands.
            wait_for(lambda: len(written) == done and behind.held == 3)  # noqa: B023
            time.sleep(WHILE / 5)
            assert behind.held == 3 < QUEUE_BLOCKS
            assert len(given) == done + 2
            go.release()
        go.release(6)
        caller.join()
        behind.finish()
    assert written == list(range(6))


def test_an_error_of_the_writer_reaches_the_caller_and_nothing_more_is_written() -> None:
    written = []

    def write(item: int) -> None:
        if item == 2:
            raise OSError("no space left")
        written.append(item)

    def give_all() -> None:
        for item in range(100):
            behind.put(item)

    with closing(WriteBehind(write)) as behind:
        with pytest.raises(OSError, match="no space"):
            give_all()
        with pytest.raises(OSError, match="no space"):
            behind.finish()
    assert written == [0, 1]


def test_an_error_of_the_last_write_is_raised_by_finish() -> None:
    def write(item: int) -> None:
        time.sleep(WHILE)
        raise OSError("no space left")

    with closing(WriteBehind(write)) as behind:
        behind.put(0)
        with pytest.raises(OSError, match="no space"):
            behind.finish()


def test_closing_in_the_middle_drops_what_waits() -> None:
    begun, go, written = threading.Event(), threading.Event(), []

    def write(item: int) -> None:
        begun.set()
        go.wait(LONG)
        written.append(item)

    behind = WriteBehind(write)
    behind.put(0)
    assert begun.wait(LONG)
    behind.put(1)
    closer = threading.Thread(target=behind.close)
    closer.start()
    # The write that has begun is not cut short.
    closer.join(WHILE)
    assert closer.is_alive()
    go.set()
    closer.join()
    assert written == [0]


def test_closing_an_idle_writer() -> None:
    behind = WriteBehind(lambda item: None)
    behind.close()
    assert behind.held == 0


def test_false_and_none_are_items_like_any_other() -> None:
    written: list[object] = []
    with closing(WriteBehind(written.append)) as behind:
        for item in (None, 0, False, ()):
            behind.put(item)
        behind.finish()
    assert written == [None, 0, False, ()]
    with closing(ReadAhead(lambda: written)) as ahead:
        assert [ahead.next() for _ in range(4)] == written
