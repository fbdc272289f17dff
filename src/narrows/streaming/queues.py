"""Reading ahead and writing behind: one thread each, with bounded queues, so that both overlap with computing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Cancelled", "ReadAhead", "WriteBehind"]

_WAIT_SECONDS = 0.1


class Cancelled(Exception):
    """The run was cancelled."""


class _Worker:
    """A thread that hands its exception to whoever waits for it, and stops when told to."""

    def __init__(self, name: str, work: Callable[[], None]):
        self.error: BaseException | None = None
        self.stopping = threading.Event()
        self._work = work
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Cancelled:
            pass
        except BaseException as error:
            self.error = error

    def put(self, channel: queue.Queue[Any], item: Any) -> None:
        while not self.stopping.is_set():
            try:
                channel.put(item, timeout=_WAIT_SECONDS)
                return
            except queue.Full:
                continue
        raise Cancelled

    def get(self, channel: queue.Queue[Any]) -> Any:
        while not self.stopping.is_set():
            try:
                return channel.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                continue
        raise Cancelled

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()


class ReadAhead:
    """Runs an iterator on a thread of its own and keeps one item ready."""

    def __init__(self, items: Callable[[], Iterable[Any]]):
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._items = items
        self._made = self._taken = 0
        self._worker = _Worker("narrows-read", self._work)
        self._worker.start()

    def _work(self) -> None:
        for item in self._items():
            self._made += 1
            self._worker.put(self._queue, item)

    @property
    def held(self) -> int:
        """Items that are made and not yet taken: at most one in the queue and one in hand."""
        return self._made - self._taken

    def next(self) -> Any:
        """The next item; raises what the thread raised."""
        while True:
            try:
                item = self._queue.get(timeout=_WAIT_SECONDS)
                self._taken += 1
                return item
            except queue.Empty:
                if self._worker.error is not None:
                    raise self._worker.error from None
                if not self._worker.thread.is_alive() and self._queue.empty():
                    raise EOFError("the source ended before its last row") from None

    def close(self) -> None:
        """Stop the thread, whatever it waits for."""
        self._worker.stop()


class WriteBehind:
    """Calls `write` on a thread of its own for each item that is put, in order."""

    def __init__(self, write: Callable[[Any], None]):
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._write = write
        self._given = self._written = 0
        self._worker = _Worker("narrows-write", self._work)
        self._worker.start()

    def _work(self) -> None:
        while (item := self._worker.get(self._queue)) is not None:
            self._write(item[0])
            self._written += 1

    @property
    def held(self) -> int:
        """Items that are given and not yet written: at most one in the queue, one in hand and one coming."""
        return self._given - self._written

    def put(self, item: Any) -> None:
        """Hand over an item; raises what the thread raised earlier."""
        self._given += 1
        self._hand_over((item,))

    def finish(self) -> None:
        """Wait until everything is written; raises what the thread raised."""
        self._hand_over(None)
        self._worker.thread.join()
        if self._worker.error is not None:
            raise self._worker.error

    def _hand_over(self, item: Any) -> None:
        while True:
            if self._worker.error is not None:
                raise self._worker.error
            try:
                self._queue.put(item, timeout=_WAIT_SECONDS)
                return
            except queue.Full:
                continue

    def close(self) -> None:
        """Stop the thread, whatever it waits for."""
        self._worker.stop()
