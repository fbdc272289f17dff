"""Operators that are defined by others give on strips what PyTorch gives on the full frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import narrows
from narrows.errors import NotStreamableError
from narrows.rowgraph import composites
from narrows.rowgraph.capture import export_at
from narrows.rowgraph.composites import taken_apart
from narrows.rowgraph.registry import lookup
from narrows.streaming.capturing import captured

torch.set_num_threads(1)
D = torch.float64
SHAPE = (2, 4, 9, 8)
PLANE = torch.linspace(-1, 1, 32, dtype=D).view(1, 4, 1, 8)


def down(x: Tensor, *size: int) -> Tensor:
    """Rows and columns of the places that `unfold` strings together."""
    return x.unflatten(-1, size)


COMPOSITES: dict[str, Callable[[Tensor], Any]] = {
    "other names": lambda x: (
        torch.absolute(x).arctan().clip(0.1, 0.9).negative(),
        torch.divide(x, x.exp(), rounding_mode="floor") + torch.true_divide(x, 3),
        torch.less(x, 0) * x + torch.greater_equal(x, 0.5) + torch.not_equal(x, 0),
    ),
    "special": lambda x: torch.special.expit(x) + torch.special.xlogy(x, x.exp()) + torch.special.log_softmax(x, 1),
    "dimensions moved": lambda x: (
        x.movedim(1, -1).swapaxes(1, 2).swapdims(1, 2).moveaxis(-1, 1).exp(),
        x.permute(0, 2, 1, 3).adjoint().permute(0, 3, 2, 1) * 2,
        x.unflatten(1, (2, 2)).sum(2) + x.narrow(1, 1, 2),
    ),
    "smallest and largest": lambda x: (torch.aminmax(x, dim=1), x.permute(1, 0, 2, 3).msort().permute(1, 0, 2, 3)),
    "sorted places": lambda x: torch.take_along_dim(x, x.argsort(1, descending=True), 1) + x.argsort(-1),
    "broadcast": lambda x: torch.broadcast_tensors(x[:, :1], x * 2)[0] + 1,
    "similarity": lambda x: (
        F.cosine_similarity(x, x.sin(), dim=1),
        F.pairwise_distance(x.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1) * 2),
        F.l1_loss(x, x.sin(), reduction="none"),
    ),
    "cross": lambda x: torch.linalg.cross(x[:, :3], x[:, 1:], dim=1),
    "differences": lambda x: (x.diff(dim=1), x.diff(n=2, dim=3), torch.gradient(x, dim=3)[0]),
    "close": lambda x: torch.where(torch.isclose(x, x.round(), atol=0.2), x, -x),
    "in": lambda x: torch.isin(x.round(), torch.tensor([0.0, 1.0], dtype=D)) * x,
    "kron of a constant": lambda x: x * torch.kron(torch.ones(1, 2, dtype=D), PLANE[0, 0, 0, :4]),
    "without NaN": lambda x: x.sqrt().nansum(1) + x.log().nanmean(1) + x.relu().count_nonzero(1),
    "norm": lambda x: torch.linalg.norm(x, dim=1) + x.norm(dim=(1, 3))[..., None],
    "one_hot": lambda x: F.one_hot(x.argmax(1), 4).permute(0, 3, 1, 2) * 1.5,
    "quantile": lambda x: x.quantile(torch.tensor([0.25, 0.5], dtype=D), dim=1),
    "repeats": lambda x: x.repeat_interleave(2, dim=1) + x.tile(1, 2, 1, 1) * torch.tile(PLANE, (1, 2, 1, 1)),
    "split": lambda x: [part * 2 for part in (*x.tensor_split(3, dim=1), *x.hsplit(2), *x.unsafe_chunk(2, 3))],
    "stacks": lambda x: torch.hstack([x, x.sin()]) + torch.column_stack([x, x.exp()]),
    "variance": lambda x: torch.cat([x.std(1, keepdim=True), *torch.var_mean(x, 1, keepdim=True, correction=0)], 1),
    "tensordot": lambda x: torch.tensordot(x, PLANE[0, :, 0], dims=([3], [1])),
    "trapezoid": lambda x: torch.trapezoid(x, dim=1) + torch.trapezoid(x, dx=0.5, dim=1),
    "unfold": lambda x: down(F.unfold(x, 3, padding=1), 9, 8),
    "unfold, strided": lambda x: down(F.unfold(x, (3, 2), dilation=(2, 1), padding=(1, 2), stride=(2, 3)), 4, 4),
    "unfold, of one place": lambda x: down(F.unfold(x, (1, 1), stride=(3, 2)), 3, 4),
    "rrelu": lambda x: F.rrelu(x, 0.1, 0.5),
    "where": lambda x: torch.where(x > 0, x, 0.5) + torch.where(x > 0, 1.0, x),
}


class Composite(nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Any:
        return COMPOSITES[self.name](x)


@pytest.mark.parametrize("name", COMPOSITES)
def test_strips_give_what_the_full_frame_gives(name: str) -> None:
    """To the last digits of the largest value: sums over channels may be made in another order on strips."""
    torch.manual_seed(0)
    model, x = Composite(name).eval(), torch.randn(SHAPE, dtype=D)
    wanted, structure = pytree.tree_flatten(model(x))
    for strip in (1, 3, 100):
        made, found = pytree.tree_flatten(narrows.stream(model, x, strip=strip))
        assert len(made) == len(wanted)
        for one, other in zip(made, wanted, strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
            torch.testing.assert_close(
                one, other, rtol=0, atol=1e-12 * float(other.abs().nan_to_num().max()), equal_nan=True
            )
    left = {node.target for node in captured(model, [SHAPE], [D]).nodes if node.target and not lookup(node.target)}
    assert not {target.split(".")[1] for target in left} & composites._KNOWN


@pytest.mark.parametrize(("strip", "height"), [(1, 1), (1, 2), (3, 3), (2, 17)])
def test_unfold_of_images_of_any_height(strip: int, height: int) -> None:
    x = torch.randn(1, 3, height, 6, dtype=D)
    model = Unfold(height).eval()
    assert (narrows.stream(model, x, strip=strip) - model(x)).abs().max() == 0


class Unfold(nn.Module):
    def __init__(self, height: int):
        super().__init__()
        self.height = height

    def forward(self, x: Tensor) -> Tensor:
        return down(F.unfold(x, (5, 3), padding=(2, 1)), self.height, 6)


def test_every_name_is_an_operator() -> None:
    assert [name for name in composites._KNOWN if not hasattr(torch.ops.aten, name)] == []


class Randomised(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(x, training=True)


def test_a_leaky_relu_with_drawn_slopes_is_refused() -> None:
    with pytest.raises(NotStreamableError, match="it draws random numbers"):
        narrows.stream(Randomised().eval(), torch.randn(SHAPE, dtype=D), strip=3)


class Mixed(nn.Module):
    """One operator that is taken apart beside some that are not."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x.diff(dim=1)) * torch.fft.fft2(x).real[:, 1:]


def test_what_is_not_named_stays_whole() -> None:
    program = export_at(Mixed().eval(), (torch.zeros(SHAPE, dtype=D),), {}).run_decompositions({})

    def targets(graph: Any) -> set[str]:
        return {str(node.target).split(".")[1] for node in graph.nodes if node.op == "call_function"}

    before, after = targets(program.graph), targets(taken_apart(program).graph)
    assert {"diff", "softplus", "fft_fft2"} <= before
    assert {"softplus", "fft_fft2"} <= after and "diff" not in after


def test_a_network_without_any_is_left_as_it_is() -> None:
    program = export_at(nn.Conv2d(4, 2, 3).eval(), (torch.zeros(SHAPE),), {}).run_decompositions({})
    assert taken_apart(program) is program
