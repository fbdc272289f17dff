"""A monitor for units that die in training: channels whose ReLU is never above zero any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor, nn

__all__ = ["DeadUnits", "LayerUnits"]

_RECTIFIERS = (nn.ReLU, nn.ReLU6)


@dataclass(frozen=True)
class LayerUnits:
    """One layer since the monitor was last reset.

    Attributes:
        name: path of the module.
        units: its channels.
        dead: places of the channels that were above zero for no input.
        lost: share of places (of all images seen) where every channel was zero, so that nothing of the input is left.
    """

    name: str
    units: int
    dead: tuple[int, ...]
    lost: float

    @property
    def collapsed(self) -> bool:
        """No channel lives: nothing passes, and no gradient comes back."""
        return len(self.dead) == self.units

    def __str__(self) -> str:
        what = "collapsed" if self.collapsed else f"{len(self.dead)} of {self.units} dead"
        return f"{self.name}: {what}, everything lost at {100 * self.lost:.1f} % of places"


class DeadUnits:
    """Watches layers of a network while it trains (or runs), and tells which of their units are dead.

    Attach it once, train as ever, and ask now and then, over a whole epoch rather than a batch:

        with DeadUnits(model) as monitor:
            for epoch in range(epochs):
                monitor.reset()
                train(model)
                for layer in monitor.layers():
                    if layer.dead:
                        print(layer)

    It adds hooks that reduce each watched output to two figures for each channel, and changes no value. A network that
    calls `torch.nn.functional.relu` has no module to watch there: name the modules in `watched`.

    Args:
        model: the network; every ``nn.ReLU`` and ``nn.ReLU6`` in it is watched.
        watched: modules to watch instead, by a name of your choice; their outputs are float (N, C, …).

    Raises:
        ValueError: there is nothing to watch.
    """

    def __init__(self, model: nn.Module, watched: Mapping[str, nn.Module] | None = None) -> None:
        if watched is None:
            watched = {name: part for name, part in model.named_modules() if isinstance(part, _RECTIFIERS)}
        if not watched:
            raise ValueError("the network has no ReLU module to watch; name modules whose outputs to watch")
        self._alive: dict[str, Tensor] = {}
        self._zero: dict[str, Tensor] = {}
        self._places: dict[str, int] = {}
        self._hooks = [part.register_forward_hook(self._watch(name)) for name, part in watched.items()]

    def reset(self) -> None:
        """Forget what was seen."""
        self._alive.clear()
        self._zero.clear()
        self._places.clear()

    def layers(self) -> list[LayerUnits]:
        """What was seen of each layer since the last reset, in the order of their first call."""
        return [
            LayerUnits(
                name,
                alive.numel(),
                tuple(torch.nonzero(~alive).flatten().tolist()),
                float(self._zero[name]) / max(self._places[name], 1),
            )
            for name, alive in self._alive.items()
        ]

    def remove(self) -> None:
        """Take the hooks out again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> DeadUnits:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _watch(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            above = output.detach() > 0
            channels = above.movedim(1, 0).flatten(1)
            alive, zero = channels.any(dim=1), (~channels.any(dim=0)).sum()
            known = self._alive.get(name)
            self._alive[name] = alive if known is None else known | alive
            self._zero[name] = zero if known is None else self._zero[name] + zero
            self._places[name] = self._places.get(name, 0) + channels.shape[1]

        return hook
