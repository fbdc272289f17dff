"""How far a network's calls depend on each other: the longest chain, and how many could run side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from narrows.costing.calls import Access
from narrows.costing.report import OperatorCost

__all__ = ["dependencies", "longest_chain", "parallel_branches"]


def dependencies(operators: Sequence[OperatorCost], accesses: Sequence[Access]) -> list[set[int]]:
    """For each launched call the launched calls that must come before it, by place among the launched.

    A call that reads memory waits for who wrote it last; one that writes into it also for those that read it since.
    """
    writer: dict[int, int] = {}
    readers: dict[int, set[int]] = {}
    found: list[set[int]] = []
    for operator, access in zip(operators, accesses, strict=True):
        if not operator.launched:
            continue
        place = len(found)
        before = {writer[storage] for storage in access.reads if storage in writer}
        for storage in access.writes:
            before |= readers.pop(storage, set())
            if storage in writer:
                before.add(writer[storage])
        for storage in access.reads - access.writes:
            readers.setdefault(storage, set()).add(place)
        for storage in access.writes:
            writer[storage] = place
        found.append(before - {place})
    return found


def longest_chain(before: Sequence[set[int]]) -> int:
    """Calls on the longest path: each waits for the one before it."""
    length: list[int] = []
    for earlier in before:
        length.append(1 + max((length[place] for place in earlier), default=0))
    return max(length, default=0)


def parallel_branches(before: Sequence[set[int]]) -> int:
    """The most calls of which none waits for another (the largest antichain, by Dilworth's theorem)."""
    count = len(before)
    ancestors = np.zeros((count, count), dtype=bool)
    for place, earlier in enumerate(before):
        for other in earlier:
            ancestors[place] |= ancestors[other]
            ancestors[place, other] = True
    if not count:
        return 0
    matching = maximum_bipartite_matching(csr_array(ancestors), perm_type="column")
    return count - int((matching >= 0).sum())
