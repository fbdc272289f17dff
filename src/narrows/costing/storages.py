"""Which memory is held while a network runs, counted by storages.

Tensors are fake: they have shapes, strides and storages, and no memory. Whoever runs them, the user's Python or an
interpreter that frees each value at its last use, decides how long they are referred to; a storage is held until the
last reference is gone, exactly as with real tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from narrows.costing.report import Held, Peak
from narrows.costing.scratch import NO_SCRATCH, Scratch

__all__ = ["Event", "Storages", "tensors_in"]

_TORCH, _HERE = str(Path(torch.__file__).parent), str(Path(__file__).parent)


def tensors_in(tree: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested lists, tuples and dicts."""
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))


@dataclass
class Event:
    """One operator that was dispatched."""

    name: str
    module: str
    source: str | None
    held: int = 0


@dataclass
class _Storage:
    reference: StorageWeakRef
    number: int
    bytes: int
    shape: tuple[int, ...]
    made: int | None
    used: int | None = None
    is_input: bool = False


@dataclass
class _Moment:
    bytes: int = 0
    event: int = 0
    scratch: Scratch = NO_SCRATCH
    alive: list[_Storage] = field(default_factory=list)


class Storages(TorchDispatchMode):
    """Watches every operator that is dispatched inside it.

    Args:
        where: tells the module path and the source line of what runs now.
        listener: is told of each operator: function, arguments, keyword arguments, result. It must not keep them.
        scratch: what the kernel of an operator takes for itself: of function, arguments and result.
    """

    def __init__(
        self,
        where: Callable[[], tuple[str, str | None]] | None = None,
        listener: Callable[[Any, Any, Any, Any], None] | None = None,
        scratch: Callable[[Any, Any, Any], Scratch] | None = None,
    ):
        super().__init__()
        self.events: list[Event] = []
        self.now = 0
        self._where = where or (lambda: ("", source_now()))
        self._listener = listener
        self._scratch = scratch
        self._live: dict[int, _Storage] = {}
        self._peak = _Moment()
        self._count = 0

    def constant(self, tensor: torch.Tensor) -> None:
        """A weight or buffer: not counted."""
        self._add(tensor, 0, None)

    def given(self, tensor: torch.Tensor) -> None:
        """An input of the network."""
        self._add(tensor, tensor.untyped_storage().nbytes(), None).is_input = True
        self._look(0)

    def result(self, tensors: Any) -> None:
        """What the network returns: never dead."""
        for tensor in tensors_in(tensors):
            storage = self._live.get(tensor.untyped_storage()._cdata)
            if storage is not None:
                storage.used = sys.maxsize

    def number(self, tensor: torch.Tensor) -> int:
        """A number for the storage of `tensor`: its address may be used again, this not."""
        return self._live[tensor.untyped_storage()._cdata].number

    def forget_freed(self) -> None:
        """Take from the books what nothing refers to any more."""
        for key in [key for key, storage in self._live.items() if storage.reference.expired()]:
            self.now -= self._live.pop(key).bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.forget_freed()
        kwargs = kwargs or {}
        place = len(self.events)
        module, source = self._where()
        self.events.append(Event(_short(func), module, source))
        for tensor in tensors_in((args, kwargs)):
            storage = self._live.get(tensor.untyped_storage()._cdata)
            if storage is not None:
                storage.used = place
        result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            if tensor.untyped_storage()._cdata not in self._live:
                self._add(tensor, tensor.untyped_storage().nbytes(), place)
        self._look(place, self._scratch(func, args, result) if self._scratch is not None else NO_SCRATCH)
        if self._listener is not None:
            self._listener(func, args, kwargs, result)
        return result

    def peak(self) -> Peak:
        """The largest moment so far."""
        events, moment = self.events, self._peak
        at = events[moment.event] if events else Event("", "", None)
        held = []
        if moment.scratch.bytes:
            count, what = moment.scratch
            held.append(Held(at.name, at.module, at.source, (), count, at.name, waiting=False, scratch=what))
        for storage in moment.alive:
            if not storage.bytes:
                continue
            made = events[storage.made] if storage.made is not None else Event("input", "", None)
            used = storage.used if storage.used is not None else storage.made
            final = used == sys.maxsize
            last = None if final or used is None else events[used]
            held.append(
                Held(
                    made_by=made.name,
                    module=made.module,
                    source=made.source,
                    shape=storage.shape,
                    bytes=storage.bytes,
                    used_last=None if last is None else " ".join(filter(None, (last.name, last.source))),
                    waiting=not final and (used is None or used < moment.event),
                )
            )
        held.sort(key=lambda tensor: (-tensor.bytes, tensor.module))
        timeline = tuple((event.name, event.held) for event in events)
        return Peak(moment.bytes, at.name, at.module, at.source, tuple(held), timeline)

    def _add(self, tensor: torch.Tensor, count: int, made: int | None) -> _Storage:
        storage = tensor.untyped_storage()
        known = self._live.get(storage._cdata)
        if known is None:
            known = _Storage(StorageWeakRef(storage), self._count, count, tuple(tensor.shape), made)
            self._live[storage._cdata] = known
            self._count += 1
            self.now += count
        return known

    def _look(self, place: int, scratch: Scratch = NO_SCRATCH) -> None:
        total = self.now + scratch.bytes
        if self.events:
            self.events[place].held = max(self.events[place].held, total)
        if total > self._peak.bytes:
            self._peak = _Moment(total, place, scratch, list(self._live.values()))


def _short(func: Any) -> str:
    return str(func).removeprefix("aten.").rpartition(".")[0] or str(func)


def source_now() -> str | None:
    """The innermost line of the network's own Python that runs now, as ``"network.py:12"``; None where only torch's
    runs, as in an `nn.Sequential`."""
    frame: Any = sys._getframe(1)
    called = False
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_HERE):
            if called:
                return None
        elif path.startswith(_TORCH) or path.startswith("<"):
            called = True
        else:
            return f"{Path(path).name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
