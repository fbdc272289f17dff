"""What the process holds and what is free; a heap that keeps what is freed, and gives it back."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from narrows.streaming.memory import (
    Headroom,
    free_memory,
    map_large_blocks,
    resident_now,
    resident_part,
    steady_heap,
)

MB = 1 << 20
LARGE = 48 * MB
# What the interpreter and other tests' leavings may add or give back in between.
SPARE = 12 * MB
HOLES = 64

glibc = pytest.mark.skipif(
    not (sys.platform.startswith("linux") and Path("/proc/self/statm").exists()),
    reason="the heap is steered on Linux with glibc alone",
)


@pytest.fixture(autouse=True)
def _large_blocks_have_pages_of_their_own() -> Iterator[None]:
    map_large_blocks()
    gc.collect()
    with steady_heap():  # gives back what earlier tests left
        pass
    # glibc maps a block only where no hole of its heap is large enough; blocks that are never written, and so take no
    # memory, stop the holes that earlier tests left.
    stopped = [np.empty(LARGE, np.uint8) for _ in range(HOLES)]
    yield
    del stopped
    map_large_blocks()


def filled(count: int = LARGE) -> np.ndarray:
    return np.ones(count, np.uint8)


def test_what_is_free_is_part_of_what_there_is() -> None:
    assert 0 < free_memory() < psutil.virtual_memory().total


@glibc
def test_what_is_free_is_what_the_kernel_calls_available() -> None:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    # Others take and give back memory between the two looks.
    assert abs(free_memory() - available) < 0.25 * available + 500 * MB


def test_an_array_that_is_written_is_resident_until_it_is_dropped() -> None:
    before = resident_now()
    array = filled()
    assert LARGE - SPARE <= resident_now() - before <= LARGE + SPARE
    del array
    assert abs(resident_now() - before) <= SPARE


@glibc
def test_pages_that_were_never_touched_are_not_resident() -> None:
    with mmap.mmap(-1, 16 * MB) as pages:
        view = np.frombuffer(pages, np.uint8)
        address = view.ctypes.data
        assert resident_part(address, 16 * MB) == 0
        view_of_some = np.frombuffer(pages, np.uint8, count=3)
        pages[5 * MB : 7 * MB] = b"1" * (2 * MB)
        # The kernel may hand out pages of 2 MB at once.
        assert 2 * MB <= resident_part(address, 16 * MB) <= 6 * MB
        assert resident_part(address + 5 * MB, 2 * MB) == 2 * MB
        assert resident_part(address + 5 * MB + 1, 3) == 3
        del view, view_of_some


def test_nothing_has_no_resident_part() -> None:
    assert resident_part(0, 0) == 0


@glibc
def test_a_steady_heap_keeps_what_is_freed_and_gives_it_back_at_the_end() -> None:
    before = resident_now()
    with steady_heap():
        array = filled()
        del array
        assert resident_now() - before >= LARGE - SPARE
        again = filled()
        assert resident_now() - before <= LARGE + SPARE
        del again
    assert resident_now() - before <= SPARE


@glibc
def test_a_steady_heap_gives_back_holes_below_what_is_still_in_use() -> None:
    before = resident_now()
    with steady_heap():
        below, above = filled(), filled(2 * MB)
        del below
        assert resident_now() - before >= LARGE - SPARE
    assert resident_now() - before <= SPARE
    assert above[-1] == 1


@glibc
@pytest.mark.parametrize("fails", [False, True])
def test_after_a_steady_heap_large_blocks_go_back_when_they_are_freed(fails: bool) -> None:
    def use() -> None:
        with steady_heap():
            filled()
            if fails:
                raise KeyError("in the middle")

    if fails:
        with pytest.raises(KeyError):
            use()
    else:
        use()
    before = resident_now()
    first, second = filled(), filled()
    assert resident_now() - before >= 2 * LARGE - SPARE
    del first
    # A hole below a block in use: pages of its own go back all the same.
    assert resident_now() - before <= LARGE + SPARE
    del second
    assert resident_now() - before <= SPARE


HOLE = """
import numpy as np
from narrows.streaming.memory import map_large_blocks, resident_now
if {called}:
    map_large_blocks()
for _ in range(3):
    np.ones(24 << 20, np.uint8)
below, above = np.ones(20 << 20, np.uint8), np.ones(20 << 20, np.uint8)
before = resident_now()
del below
print(before - resident_now())
"""


@glibc
@pytest.mark.parametrize("called", [False, True])
def test_large_blocks_are_mapped_whatever_was_freed_before(called: bool) -> None:
    """glibc raises its threshold to the size of a mapped block that is freed, up to 32 MB, unless told not to."""
    run = subprocess.run([sys.executable, "-c", HOLE.format(called=called)], capture_output=True, text=True, check=True)
    assert (int(run.stdout) >= 19 * MB) == called


@glibc
def test_headroom_gives_holes_back_before_a_block_that_would_not_fit() -> None:
    with steady_heap():
        first, second = filled(), filled(2 * MB)
        room = Headroom(LARGE // 2)
        del first
        held = resident_now()
        room.make(LARGE)
        assert room.trims == 1
        assert resident_now() <= held - LARGE + SPARE
        assert second[-1] == 1


@glibc
def test_headroom_leaves_the_heap_alone_while_there_is_room() -> None:
    with steady_heap():
        room = Headroom(4 * LARGE)
        array = filled()
        room.make(2 * LARGE)
        assert room.trims == 0
        del array
        held = resident_now()
        room.make(2 * LARGE)
        assert resident_now() >= held - SPARE
        assert room.trims == 0


@glibc
def test_headroom_looks_at_large_blocks_alone() -> None:
    room = Headroom(-LARGE)
    for _ in range(100):
        room.make(MB - 1)
    assert room.trims == 0
    room.make(MB)
    assert room.trims == 1


@glibc
def test_headroom_leaves_room_for_what_other_threads_may_take() -> None:
    alone, shared = Headroom(4 * LARGE), Headroom(4 * LARGE, lambda: 4 * LARGE)
    alone.make(LARGE)
    shared.make(LARGE)
    assert alone.trims == 0
    assert shared.trims == 1


@glibc
def test_headroom_looks_again_when_all_that_was_asked_for_could_be_too_much() -> None:
    room = Headroom(2 * LARGE)
    for _ in range(10):
        room.make(LARGE // 2)  # none of it is taken
    assert room.trims == 0
    with steady_heap():
        kept = []
        for _ in range(3):
            room.make(LARGE)
            kept.append(filled())
    assert room.trims > 0
    assert len(kept) == 3


@glibc
def test_files_that_are_mapped_do_not_count_against_headroom(tmp_path: Path) -> None:
    path = tmp_path / "pages"
    path.write_bytes(os.urandom(MB) * 48)
    room = Headroom(LARGE)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        before = resident_now()
        assert sum(pages[offset] for offset in range(0, len(pages), mmap.PAGESIZE)) > 0
        assert resident_now() - before >= LARGE - SPARE
        room.make(LARGE // 2)
    assert room.trims == 0
