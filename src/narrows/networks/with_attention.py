"""Squeeze-and-excitation in a network that hasn't got it: at the ends of its stages.

J. Hu, L. Shen, S. Albanie, G. Sun, E. Wu, "Squeeze-and-Excitation Networks", arXiv 1709.01507, put it into every block.
That it stands at the ends of stages, and that it starts as the identity, is this project's choice.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from narrows.layers.squeeze_excitation import SqueezeExcitation

__all__ = ["Attended", "attention_places", "with_attention"]

_NARROWEST = 8


class Attended(nn.Module):
    """A module whose output's channels are weighted: ``y * 2 * weights(y)``, y being what the module gives.

    The weights are those of squeeze-and-excitation, whose last layer starts with zeros: the sigmoid's half, doubled, is
    1, so that to begin with the output is the module's own to the bit. Whatever else is asked of it is answered by the
    module.
    """

    def __init__(self, module: nn.Module, attention: SqueezeExcitation) -> None:
        super().__init__()
        self.module = module
        self.attention = attention
        assert attention.excite.bias is not None
        nn.init.zeros_(attention.excite.weight)
        nn.init.zeros_(attention.excite.bias)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        y = self.module(*args, **kwargs)
        return y * (2.0 * self.attention.weights(y))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


@dataclass
class _Call:
    """One call of a module while the network ran once: what it gave, and the calls made within it."""

    path: str
    module: nn.Module
    output: Any = None
    within: list[_Call] = field(default_factory=list)

    @property
    def sides(self) -> tuple[int, ...] | None:
        """Rows and columns of what it gave; None if that is no image."""
        if isinstance(self.output, Tensor) and self.output.dim() == 4:
            return tuple(self.output.shape[-2:])
        return None

    @property
    def channels(self) -> int:
        return int(self.output.shape[1])


def with_attention(
    model: nn.Module,
    reduction: int = 16,
    *,
    where: Iterable[str] | None = None,
    channels: int | None = None,
    size: tuple[int, int] = (256, 256),
    make: Callable[[int, int], SqueezeExcitation] = SqueezeExcitation,
) -> nn.Module:
    """A copy of `model` with squeeze-and-excitation at the end of each of its stages; `attention_places` says where.

    It has the same shapes and weights, and to begin with gives the same output to the bit: see `Attended`. In its
    state dictionary what was ``stage.x`` is ``stage.module.x``; load weights before. Train it to gain from it.

    The rule, read off one run on tensors without memory: a *block* is an outermost module in which at most one
    convolution larger than 1 x 1 has an output of other sides than the module's. A *stage* is a run of blocks whose
    outputs have the same sides. Its end is the last block that holds a convolution larger than 1 x 1, or the last of
    the norms and activations beside it that follow, if it is called once, gives at least 8 channels, and gives none of
    the network's own outputs. A stage with no such block, or with fewer than two convolutions, gets none.

    Squeeze-and-excitation needs the mean over all rows: it is a barrier, and a network with it can't be streamed in
    one pass. Give ``make=RunningSqueezeExcitation`` (`narrows.layers.squeeze_excitation`) for one that can be.

    Args:
        model: any network of one image; left as it is.
        reduction: channels are divided by it between the two layers of the attention (at least 1 remains).
        where: paths of the modules whose outputs are to be weighted, as ``model.named_modules()`` has them, instead of
            the rule.
        channels: of the image; by default those of the first convolution in the order of definition.
        size: rows and columns of the image of that one run; any at which the network's stages show.
        make: makes the attention, from channels and reduction.

    Raises:
        ValueError: no stage ends where the rule could put attention; a path names no module, or one that is not called
            or doesn't give an image; the channels of the image can't be told; the model can't be run at that size.
    """
    changed = copy.deepcopy(model)
    root = _run_once(changed, channels, size)
    if where is None:
        chosen = _stage_ends(root)
        if not chosen:
            raise ValueError("no stage of this network ends where attention could be put; name modules by where=")
    else:
        chosen = [_named(root, path) for path in where]
    for call in chosen:
        parent, _, name = call.path.rpartition(".")
        attention = make(call.channels, reduction)
        weight = next(call.module.parameters(), None)
        if weight is not None:
            attention.to(weight.device, weight.dtype)
        setattr(changed.get_submodule(parent), name, Attended(call.module, attention).train(call.module.training))
    return changed


def attention_places(model: nn.Module) -> tuple[str, ...]:
    """Paths of the modules that `with_attention` has given attention, in the order of definition."""
    return tuple(path for path, module in model.named_modules() if isinstance(module, Attended))


def _run_once(model: nn.Module, channels: int | None, size: tuple[int, int]) -> _Call:
    """The tree of calls that one image makes."""
    first = next((part for part in model.modules() if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d))), None)
    channels = channels or (first.in_channels if first else None)
    if channels is None:
        raise ValueError("the network doesn't tell how many channels it takes; give channels")
    root = _Call("", model)
    stack = [root]
    hooks = []

    def enter(call: _Call) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            made = _Call(call.path, call.module)
            stack[-1].within.append(made)
            stack.append(made)

        return hook

    def leave(_: nn.Module, __: Any, output: Any) -> None:
        stack.pop().output = output

    for path, module in model.named_modules():
        if path:
            hooks += [module.register_forward_pre_hook(enter(_Call(path, module))), module.register_forward_hook(leave)]
    modes = {module: module.training for module in model.modules()}
    weight = next(model.parameters(), None)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            dtype, device = (weight.dtype, weight.device) if weight is not None else (torch.float32, "cpu")
            root.output = model.eval()(torch.empty(1, channels, *size, dtype=dtype, device=device))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"the network can't be run on {channels} x {size[0]} x {size[1]}: {reason}") from error
    finally:
        for handle in hooks:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return root


def _all(call: _Call) -> Iterator[_Call]:
    for inner in call.within:
        yield inner
        yield from _all(inner)


def _convolutions(call: _Call) -> list[_Call]:
    return [inner for inner in (call, *_all(call)) if isinstance(inner.module, (nn.Conv2d, nn.ConvTranspose2d))]


def _wide_convolutions(call: _Call) -> list[_Call]:
    """The convolutions that look beyond their own pixel."""
    return [inner for inner in _convolutions(call) if getattr(inner.module, "kernel_size", ()) != (1, 1)]


def _blocks(call: _Call) -> Iterator[_Call]:
    for inner in call.within:
        elsewhere = [part for part in _wide_convolutions(inner) if part.sides != inner.sides]
        if inner.within and (inner.sides is None or len(elsewhere) > 1):
            yield from _blocks(inner)
        elif inner.sides is not None:
            yield inner


def _stage_ends(root: _Call) -> list[_Call]:
    returned = {id(leaf) for leaf in pytree.tree_leaves(root.output)}
    times = Counter(id(call.module) for call in _all(root))
    ends = []
    for _, run in groupby(_blocks(root), key=lambda block: block.sides):
        stage = list(run)
        if sum(len(_convolutions(block)) for block in stage) < 2:
            continue
        end: _Call | None = None
        before: _Call | None = None
        for block in stage:
            may = times[id(block.module)] == 1 and block.channels >= _NARROWEST and id(block.output) not in returned
            follows = end is not None and end is before and not _convolutions(block) and _beside(end, block)
            if may and (follows or _wide_convolutions(block)):
                end = block
            before = block
        if end is not None:
            ends.append(end)
    return ends


def _beside(one: _Call, other: _Call) -> bool:
    """Whether both belong to one module."""
    return one.path.rpartition(".")[0] == other.path.rpartition(".")[0]


def _named(root: _Call, path: str) -> _Call:
    known = dict(root.module.named_modules())
    if not path or path not in known:
        raise ValueError(f"the network has no module '{path}'")
    calls = [call for call in _all(root) if call.path == path]
    if not calls:
        raise ValueError(f"the network never calls its module '{path}'")
    if calls[-1].sides is None:
        raise ValueError(f"module '{path}' doesn't give an image (N, C, H, W)")
    return calls[-1]
