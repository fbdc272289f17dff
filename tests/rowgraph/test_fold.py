"""Batch norm and ReLU folded into convolutions: the same numbers, and never where something else needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import narrows
from narrows.rowgraph import fold
from narrows.rowgraph.capture import capture, export_at
from narrows.rowgraph.graph import RowGraph
from narrows.streaming.capturing import captured

torch.set_num_threads(1)
D = torch.float64
STRIPS = (1, 3, 100)


def batch_norm(channels: int, **options: Any) -> nn.BatchNorm2d:
    """A batch norm that has seen images: nothing in it is 0 or 1."""
    norm = nn.BatchNorm2d(channels, **options)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        if tensor is not None:
            nn.init.uniform_(tensor, -2, 2)
    assert norm.running_var is not None
    nn.init.uniform_(norm.running_var, 0.1, 3)
    return norm


class Layers(nn.Module):
    """Four channels in, through layers that `function` calls in its way."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs, *self.layers)


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).double().eval()


def image(*shape: int) -> Tensor:
    return torch.randn(*(shape or (2, 4, 9, 7)), dtype=D)


def operators(model: nn.Module, *shape: int) -> list[str]:
    """What is left to do on rows. (The graph is kept for the streams that follow.)"""
    graph = captured(model, [shape or (2, 4, 9, 7)], [D])
    return [node.operator for node in graph.nodes if node.rows and node.operator != "input"]


def assert_same(model: nn.Module, x: Tensor, tolerance: float = 1e-12, strips: tuple[int, ...] = STRIPS) -> None:
    with torch.no_grad():
        full = model(x)
    for strip in strips:
        made = narrows.stream(model, x, strip=strip)
        for one, other in zip(made, full, strict=True) if isinstance(full, tuple) else [(made, full)]:
            assert one.dtype == other.dtype
            assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


FOLDED = {
    "plain": lambda: (nn.Conv2d(4, 6, 3, padding=1), batch_norm(6), nn.ReLU()),
    "no bias": lambda: (nn.Conv2d(4, 6, 3, padding=1, bias=False), batch_norm(6), nn.ReLU()),
    "no ReLU": lambda: (nn.Conv2d(4, 6, 3), batch_norm(6)),
    "no batch norm": lambda: (nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True)),
    "same padding": lambda: (nn.Conv2d(4, 6, 3, padding="same", dilation=2), batch_norm(6), nn.ReLU(inplace=True)),
    "not affine": lambda: (nn.Conv2d(4, 6, 3), batch_norm(6, affine=False, eps=0.1)),
    "groups": lambda: (nn.Conv2d(4, 6, 3, groups=2, bias=False), batch_norm(6), nn.ReLU()),
    "depthwise": lambda: (nn.Conv2d(4, 8, 3, groups=4, stride=2, padding=1), batch_norm(8)),
    "transposed": lambda: (nn.ConvTranspose2d(4, 6, 3, stride=2), batch_norm(6), nn.ReLU()),
    "transposed, no bias": lambda: (nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False), batch_norm(6)),
    "transposed, groups": lambda: (nn.ConvTranspose2d(4, 6, 3, groups=2, stride=2), batch_norm(6), nn.ReLU()),
    "transposed, gaps": lambda: (nn.ConvTranspose2d(4, 6, 1, stride=3, output_padding=1), batch_norm(6), nn.ReLU()),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded_layers_give_the_same_numbers(name: str) -> None:
    model = chain(*FOLDED[name]())
    kind = "conv_transpose2d" if "transposed" in name else "conv2d"
    assert operators(model) == [kind]
    assert_same(model, image())


def test_a_batch_norm_of_an_image_without_a_batch_dimension() -> None:
    model = chain(nn.Conv2d(4, 6, 3), nn.ReLU())
    assert operators(model, 4, 9, 7) == ["conv2d"]
    assert_same(model, image(4, 9, 7))


def test_only_the_first_of_two_batch_norms_is_folded() -> None:
    model = chain(nn.Conv2d(4, 6, 3), batch_norm(6), batch_norm(6), nn.ReLU())
    assert operators(model) == ["conv2d", "batch_norm", "relu"]
    assert_same(model, image())


def test_a_relu_before_the_batch_norm_keeps_the_batch_norm_apart() -> None:
    model = chain(nn.Conv2d(4, 6, 3), nn.ReLU(), batch_norm(6))
    assert operators(model) == ["conv2d", "batch_norm"]
    assert_same(model, image())


def added(x: Tensor, convolution: nn.Module, norm: nn.Module) -> Tensor:
    y = convolution(x)
    return norm(y) + y


def relu_added(x: Tensor, convolution: nn.Module, norm: nn.Module) -> Tensor:
    y = norm(convolution(x))
    return F.relu(y) - y


def returned(x: Tensor, convolution: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    y = convolution(x)
    return y, F.relu(norm(y))


def normed_returned(x: Tensor, convolution: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    y = norm(convolution(x))
    return y, F.relu(y)


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (added, ["conv2d", "batch_norm", "add"]),
        (relu_added, ["conv2d", "relu", "sub"]),
        (returned, ["conv2d", "batch_norm", "relu"]),
        (normed_returned, ["conv2d", "relu"]),
    ],
)
def test_what_is_used_elsewhere_is_not_folded_away(function: Callable[..., Any], left: list[str]) -> None:
    model = Layers(function, nn.Conv2d(4, 6, 3), batch_norm(6)).double().eval()
    assert operators(model) == left
    assert_same(model, image())


def multiplied(x: Tensor, first: nn.Module, second: nn.Module, norm: nn.Module) -> Tensor:
    return norm(first(x)) * norm(second(x))


def test_one_batch_norm_after_two_convolutions() -> None:
    model = Layers(multiplied, nn.Conv2d(4, 6, 3), nn.Conv2d(4, 6, 3, bias=False), batch_norm(6)).double().eval()
    assert operators(model) == ["conv2d", "conv2d", "mul"]
    assert_same(model, image())


def each_normed(x: Tensor, *parts: nn.Module) -> Tensor:
    first, second, plain, norm, other = parts
    return norm(first(x)) * other(second(x)) + plain(x)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_shared_weight_is_folded_for_each_convolution_by_itself(transposed: bool) -> None:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layers = [kind(4, 4, 3, bias=False) for _ in range(3)]
    for layer in layers[1:]:
        layer.weight = layers[0].weight

    model = Layers(each_normed, *layers, batch_norm(4), batch_norm(4)).double().eval()
    assert operators(model).count("batch_norm") == 0
    assert_same(model, image())


def called_twice(x: Tensor, convolution: nn.Module, norm: nn.Module, other: nn.Module) -> Tensor:
    return other(convolution(F.relu(norm(convolution(x)))))


def test_one_convolution_called_twice_with_a_batch_norm_each() -> None:
    model = Layers(called_twice, nn.Conv2d(4, 4, 3, padding=1), batch_norm(4), batch_norm(4)).double().eval()
    assert operators(model) == ["conv2d", "conv2d"]
    assert_same(model, image())


@pytest.mark.parametrize("transposed", [False, True])
def test_the_networks_own_parameters_stay_as_they_were(transposed: bool) -> None:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    model = chain(kind(4, 6, 3, groups=2), batch_norm(6), nn.ReLU())
    before = {name: (tensor.clone(), tensor.data_ptr()) for name, tensor in model.state_dict().items()}
    first = narrows.stream(model, x := image(), strip=2)
    again = narrows.stream(model, x, strip=2)
    assert torch.equal(first, again)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name][0])
        assert tensor.data_ptr() == before[name][1]
    with torch.no_grad():
        assert (model(x) - first).abs().max() <= 1e-12 * first.abs().max()


def test_a_batch_norm_that_was_changed_is_folded_anew() -> None:
    model = chain(nn.Conv2d(4, 6, 3), batch_norm(6))
    x = image()
    assert_same(model, x, strips=(3,))
    with torch.no_grad():
        model.get_parameter("1.weight").mul_(-3)
        model.get_buffer("1.running_var").add_(1)
    assert_same(model, x, strips=(3,))


def given_mean(x: Tensor, mean: Tensor, convolution: nn.Module) -> Tensor:
    return F.batch_norm(convolution(x), mean, torch.full((6,), 2.0, dtype=D))


def test_statistics_that_are_given_with_the_image() -> None:
    model, mean = Layers(given_mean, nn.Conv2d(4, 6, 3)).double().eval(), image(6)
    x = image()
    for strip in STRIPS:
        with torch.no_grad():
            full = model(x, mean)
        assert (narrows.stream(model, (x, mean), strip=strip) - full).abs().max() <= 1e-12 * full.abs().max()


class Late(nn.Module):
    """A batch norm whose scale is computed from a parameter, before the convolution is called or after."""

    def __init__(self, late: bool):
        super().__init__()
        self.late, self.convolution, self.norm = late, nn.Conv2d(4, 6, 3), batch_norm(6)

    def forward(self, x: Tensor) -> Tensor:
        early = self.norm.bias.exp()
        y = self.convolution(x)
        scale = self.norm.bias.exp() if self.late else early
        return F.relu(F.batch_norm(y, self.norm.running_mean, self.norm.running_var, scale))


@pytest.mark.parametrize(("late", "left"), [(False, ["conv2d"]), (True, ["conv2d", "batch_norm", "relu"])])
def test_statistics_computed_after_the_convolution_come_too_late(late: bool, left: list[str]) -> None:
    model = Late(late).double().eval()
    assert operators(model) == left
    assert_same(model, image())


def constant_added(x: Tensor, convolution: nn.Module, norm: nn.Module) -> Tensor:
    return x + F.relu(norm(convolution(torch.ones(1, 4, 9, 7, dtype=x.dtype))))


def test_a_convolution_of_constants_is_not_folded() -> None:
    model = Layers(constant_added, nn.Conv2d(4, 4, 3, padding=1), batch_norm(4)).double().eval()
    assert "folded weight" not in {node.operator for node in captured(model, [(2, 4, 9, 7)], [D]).nodes}
    assert_same(model, image())


def folded_weight(graph: RowGraph) -> Tensor:
    """The folded weight, computed by its node from the graph's constants."""
    node = next(node for node in graph.nodes if node.operator == "folded weight")
    assert node.compute is not None
    made: Tensor = node.compute([graph.constants[i] for i in node.inputs])
    return made


@pytest.mark.parametrize("at_once", [1, 100, 1 << 18])
def test_a_weight_folded_in_parts_is_the_whole(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(fold, "FOLDED_AT_ONCE", at_once)
    model = chain(nn.Conv2d(4, 6, 3, groups=2), batch_norm(6))
    norm = model.get_submodule("1")
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    wanted = model.get_parameter("0.weight") * scale[:, None, None, None]
    made = folded_weight(capture(export_at(model, (image(),), {})))
    assert (made - wanted).abs().max() <= 1e-14 * wanted.abs().max()


def test_float32_weights_are_folded_in_float64_and_rounded_once() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3), batch_norm(6)).eval()
    made = folded_weight(capture(export_at(model, (torch.zeros(1, 4, 9, 7),), {})))
    exact = folded_weight(capture(export_at(model.double(), (image(),), {})))
    assert torch.equal(made, exact.float())


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_bfloat16_is_as_near_to_the_truth_as_the_full_frame(kind: Any) -> None:
    model = nn.Sequential(kind(4, 6, 3), batch_norm(6), nn.ReLU()).bfloat16().eval()
    x = image().bfloat16()
    with torch.no_grad():
        full = model(x)
        model.double()
        exact = model(x.double())
        model.bfloat16()
    unit = exact.abs().max() * 2**-8
    for strip in STRIPS:
        made = narrows.stream(model, x, strip=strip)
        assert made.dtype is torch.bfloat16
        assert (made.double() - exact).abs().max() <= (full.double() - exact).abs().max() + unit


def test_a_bfloat16_convolution_before_a_float32_batch_norm() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3).bfloat16(), batch_norm(6)).eval()
    assert_same(model, image().bfloat16(), tolerance=2**-6)


def test_without_folding_every_operator_stays_its_own() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()).eval()
    shape, dtype = [(1, 3, 16, 16)], [torch.float32]
    folded = [node.operator for node in captured(model, shape, dtype).nodes if node.rows]
    whole = [node.operator for node in captured(model, shape, dtype, fold=False).nodes if node.rows]
    assert folded == ["input", "conv2d"]
    assert whole == ["input", "conv2d", "batch_norm", "relu"]
