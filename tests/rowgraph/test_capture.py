"""From a network to its row graph: what is recorded, in whatever form the network comes, and what is refused."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, library, nn
from torch.export import Dim
from torch.utils import _pytree as pytree

import narrows
from narrows.errors import CaptureError, NotStreamableError
from narrows.rowgraph.capture import capture, export_at
from narrows.rowgraph.graph import RowGraph
from narrows.rowgraph.registry import Call, Operator, lookup, operator, registered
from narrows.rowgraph.rows import Axis, Window
from narrows.streaming.capturing import captured, load_program

torch.set_num_threads(1)
D = torch.float64


class Wrapped(nn.Module):
    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


class Network(nn.Module):
    """Several kinds of nodes, weights that are shared, and two outputs at two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.GELU())
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        wide = self.stem(x)
        deep = self.down(wide)
        up = F.interpolate(deep, size=wide.shape[-2:], mode="nearest")
        return self.head(wide + up), self.head(deep)


def graph_of(model: Any, *inputs: Tensor, **named: Tensor) -> RowGraph:
    module = model if isinstance(model, nn.Module) else Wrapped(model)
    return capture(export_at(module.eval(), inputs, named))


def image(*shape: int) -> Tensor:
    return torch.randn(*(shape or (1, 3, 8, 6)), dtype=D)


def operators(graph: RowGraph) -> list[str]:
    return [node.operator for node in graph.nodes if node.operator not in ("constant", "input")]


def assert_streams(model: Any, source: Any) -> None:
    """Streamed equals full frame, in values and in structure."""
    module = (model if isinstance(model, nn.Module) else Wrapped(model)).eval()
    with torch.no_grad():
        if isinstance(source, dict):
            full = module(**source)
        else:
            full = module(*source) if isinstance(source, tuple) else module(source)
    wanted, structure = pytree.tree_flatten(full)
    made, found = pytree.tree_flatten(narrows.stream(module, source, strip=3))
    assert found == structure
    for one, other in zip(made, wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= 1e-10 * other.abs().max()


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Network().double().eval()


def same(one: RowGraph, other: RowGraph) -> bool:
    if (one.nodes, one.inputs, one.outputs, one.constant_bytes) != (
        other.nodes,
        other.inputs,
        other.outputs,
        other.constant_bytes,
    ):
        return False
    return one.constants.keys() == other.constants.keys() and all(
        torch.equal(tensor, other.constants[place]) for place, tensor in one.constants.items()
    )


def test_a_module_its_program_and_its_file_give_the_same_graph(network: nn.Module, tmp_path: Path) -> None:
    x = image(1, 3, 16, 10)
    program = export_at(network, (x,), {})
    torch.export.save(program, tmp_path / "network.pt2")
    shapes, dtypes = [tuple(x.shape)], [D]
    graphs = [captured(form, shapes, dtypes) for form in (network, program, load_program(tmp_path / "network.pt2"))]
    assert same(graphs[0], graphs[1])
    assert same(graphs[0], graphs[2])
    assert not same(graphs[0], captured(network, [(1, 3, 17, 10)], dtypes))


def test_a_program_of_dynamic_sizes_gives_the_graph_of_the_size(network: nn.Module) -> None:
    dynamic = {2: Dim("height", min=4, max=4000), 3: Dim("width", min=4, max=4000)}
    program = torch.export.export(network, (image(1, 3, 16, 10),), dynamic_shapes=(dynamic,))
    shapes, dtypes = [(1, 3, 22, 15)], [D]
    one, other = captured(network, shapes, dtypes), captured(program, shapes, dtypes)
    assert [(n.operator, n.shape, n.needs, n.rows) for n in one.nodes if n.rows] == [
        (n.operator, n.shape, n.needs, n.rows) for n in other.nodes if n.rows
    ]


def test_a_program_of_fixed_sizes_takes_no_other(network: nn.Module) -> None:
    program = export_at(network, (image(1, 3, 16, 10),), {})
    with pytest.raises(CaptureError, match=r"takes inputs of \[\(1, 3, 16, 10\)\] only.*dynamic sizes"):
        captured(program, [(1, 3, 32, 10)], [D])


def test_a_large_image_is_captured_at_its_size_without_its_memory(network: nn.Module) -> None:
    graph = captured(network, [(1, 3, 100_001, 60_000)], [D])
    assert [graph.nodes[i].shape for i in graph.inputs] == [(1, 3, 100_001, 60_000)]
    assert [graph.nodes[i].height for i in graph.outputs] == [100_001, 50_001]


def test_where_a_node_came_from_is_recorded(network: nn.Module) -> None:
    graph = graph_of(network, image(1, 3, 16, 10))
    places = {node.name: (node.operator, node.module, node.target) for node in graph.nodes if node.rows}
    assert places["conv2d"] == ("conv2d", "stem.0", "aten.conv2d.default")
    assert places["gelu"][1] == "down.1"
    assert places["add"][1] == ""
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "self.down(wide)" in text)
    assert next(node for node in graph.nodes if node.module == "down.1").source == f"test_capture.py:{line}"
    assert next(node for node in graph.nodes if node.name == "gelu").place == (
        f"aten.gelu.default in module 'down.1' at test_capture.py:{line}"
    )


def test_what_a_node_is(network: nn.Module) -> None:
    graph = graph_of(network, image(1, 3, 16, 10))
    node = next(node for node in graph.nodes if node.module == "down.0")
    assert (node.shape, node.dtype, node.itemsize) == ((1, 4, 8, 5), "float64", 8)
    assert (node.rows, node.columns) == (Axis(2, 8), Axis(3, 5))
    assert node.needs == (Window(16, 3, 2, 1, 1), None, None)
    assert (node.nbytes, node.height, node.row_bytes) == (4 * 8 * 5 * 8, 8, 4 * 5 * 8)
    assert node.macs == 4 * 8 * 5 * 4 * 3 * 3


def test_nodes_stand_in_an_order_in_which_inputs_come_first(network: nn.Module) -> None:
    graph = graph_of(network, image(1, 3, 16, 10))
    assert [node.index for node in graph.nodes] == list(range(len(graph.nodes)))
    assert all(source < node.index for node in graph.nodes for source in node.inputs)
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)
    for source, readers in enumerate(graph.consumers()):
        wanted = [(n.index, p) for n in graph.nodes for p, i in enumerate(n.inputs) if i == source]
        assert readers == wanted


def test_what_no_output_needs_is_left_out() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Conv2d(3, 2, 1).double(), nn.Conv2d(3, 50, 5).double()

        def forward(self, x: Tensor) -> Tensor:
            self.unused(x)
            torch.fft.fft2(x)
            return self.used(x)

    graph = graph_of(Unused(), image())
    assert operators(graph) == ["conv2d"]
    assert graph.constant_bytes == (2 * 3 + 2) * 8
    assert not graph.refusals


def test_constants_of_every_kind() -> None:
    class Constants(nn.Module):
        kept: Tensor
        passing: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(image(3, 1, 1))
            self.register_buffer("kept", image(3, 1, 1))
            self.register_buffer("passing", image(6), persistent=False)
            self.plain = image(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            written = torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=D)
            return x * self.weight + self.kept * self.passing + self.plain * written

    model = Constants()
    graph = graph_of(model, image())
    assert len(graph.constants) == 5
    assert graph.constant_bytes == 8 * (3 + 3 + 6 + 8 + 6)
    assert_streams(model, image())


def test_weights_that_two_layers_share_count_once() -> None:
    first, second = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Conv2d(3, 3, 3, padding=1, bias=False)
    second.weight = first.weight
    graph = graph_of(nn.Sequential(first, second).double(), image())
    assert operators(graph) == ["conv2d", "conv2d"]
    assert graph.constant_bytes == 3 * 3 * 9 * 8


def test_several_inputs_stand_in_the_order_of_the_signature() -> None:
    def function(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        return third.sin() * 2 + second * first

    x = image()
    graph = graph_of(function, x, image(3, 1, 1), x[:, :1])
    assert [graph.nodes[i].shape for i in graph.inputs] == [(1, 3, 8, 6), (3, 1, 1), (1, 1, 8, 6)]
    assert_streams(function, (x, image(3, 1, 1), image(1, 1, 8, 6)))


def test_inputs_and_outputs_at_other_scales() -> None:
    def function(image: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = image + F.interpolate(coarse, scale_factor=4.0, mode="nearest")
        return fine, F.avg_pool2d(fine, 2), F.pixel_shuffle(coarse.repeat(1, 4, 1, 1), 2)

    graph = graph_of(function, image(1, 3, 24, 8), image(1, 3, 6, 2))
    assert [graph.nodes[i].height for i in graph.outputs] == [24, 12, 12]
    assert_streams(function, (image(1, 3, 24, 8), image(1, 3, 6, 2)))


Pair = namedtuple("Pair", "first second")
STRUCTURES = {
    "a tuple": lambda x: (x * 2, x[:, :1] + 1),
    "a tuple of one": lambda x: (x * 2,),
    "a dict": lambda x: {"z": x * 2, "a": x[:, :1] + 1},
    "nested": lambda x: {"z": [x * 2, (x[:, :1] + 1, x.exp())], "a": x.sin()},
    "named": lambda x: Pair(x * 2, x.argmax(1).double()),
    "without rows": lambda x: (x * 2, torch.arange(1, 4, dtype=D)),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_outputs_come_back_as_the_network_gives_them(name: str) -> None:
    assert_streams(STRUCTURES[name], image())


def test_one_value_returned_twice_is_one_node() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.exp()
        return y, y

    graph = graph_of(function, image())
    assert len(graph.outputs) == 2 and len(set(graph.outputs)) == 1


class Keywords(nn.Module):
    def forward(self, image: Tensor, mask: Tensor, gain: Tensor | None = None) -> Tensor:
        return image * mask if gain is None else image - gain


@pytest.mark.parametrize("names", [("mask", "image"), ("gain", "mask", "image")])
def test_keyword_inputs_in_any_order(names: tuple[str, ...]) -> None:
    assert_streams(Keywords(), {name: image() for name in names})


def test_an_input_that_nothing_reads_stays_an_input() -> None:
    def function(unused: Tensor, x: Tensor) -> Tensor:
        return x * 2

    graph = graph_of(function, image(1, 1, 4, 3), image())
    assert [graph.nodes[i].shape for i in graph.inputs] == [(1, 1, 4, 3), (1, 3, 8, 6)]
    assert graph.consumers()[graph.inputs[0]] == []
    assert_streams(function, (image(1, 1, 4, 3), image()))


def test_numbers_beside_the_image_are_no_inputs_with_rows() -> None:
    graph = capture(export_at(Wrapped(lambda x, factor: x * factor).eval(), (image(), 2.5), {}))
    assert len(graph.inputs) == 1
    assert operators(graph) == ["mul"]


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((3, 8, 6), Axis(1, 8)), ((5, 3, 8, 6), Axis(2, 8)), ((2, 3, 4, 8, 6), Axis(3, 8)), ((8, 6), None)],
)
def test_rows_of_an_input_lie_in_the_last_dimension_but_one(shape: tuple[int, ...], axis: Axis | None) -> None:
    graph = graph_of(lambda x: x * 2, image(*shape))
    assert [node.rows for node in graph.nodes] == [axis, axis]


def test_batches_share_a_schedule(network: nn.Module) -> None:
    graph = graph_of(network, image(3, 3, 16, 10))
    assert {node.shape[0] for node in graph.nodes if node.rows} == {3}
    assert_streams(network, image(3, 3, 16, 10))


def test_rows_behind_a_batch_that_is_merged_in_front_of_them() -> None:
    graph = graph_of(lambda x: x.flatten(1, 2) * 2, image(2, 4, 8, 6))
    assert graph.nodes[graph.outputs[0]].rows == Axis(1, 8, outer=4)
    assert_streams(lambda x: x.flatten(1, 2) * 2, image(2, 4, 8, 6))


@pytest.mark.parametrize("make", [lambda x: x.add_(1) * 2, lambda x: x.relu_().mul_(2)])
def test_operators_in_place_leave_one_output(make: Callable[[Tensor], Tensor]) -> None:
    x = image()
    full = make(x.clone())
    assert torch.equal(narrows.stream(Wrapped(make).eval(), x.clone(), strip=3), full)
    assert len(graph_of(make, x.clone()).outputs) == 1


def test_a_network_in_training_mode_is_refused(network: nn.Module) -> None:
    with pytest.raises(CaptureError, match=r"training mode; call model\.eval\(\)"):
        export_at(network.train(), (image(1, 3, 16, 10),), {})


def test_a_layer_left_in_training_mode_is_refused_by_name(network: nn.Module) -> None:
    dropped = nn.Sequential(nn.Conv2d(3, 3, 1).double(), nn.Dropout(0.1)).eval()
    dropped[1].train()
    (refused,) = graph_of_unchanged(dropped, image()).refusals
    assert refused.module == "1" and "random numbers" in str(refused.unsupported)
    network.get_submodule("stem.1").train()
    (refused,) = graph_of_unchanged(network, image(1, 3, 16, 10)).refusals
    assert refused.module == "stem.1" and "statistics over all rows" in str(refused.barrier)


def graph_of_unchanged(model: nn.Module, x: Tensor) -> RowGraph:
    """The graph of a network whose layers keep the modes that they have."""
    return capture(export_at(model, (x,), {}))


RANDOM = {
    "native_dropout": lambda x: F.dropout(x, 0.5, training=True),
    "rand_like": lambda x: x + torch.rand_like(x),
    "randn": lambda x: x + torch.randn(8, 6, dtype=D),
    "normal_functional": lambda x: x + torch.empty(3, 1, 1, dtype=D).normal_(),
    "multinomial": lambda x: x * torch.multinomial(torch.ones(4), 1),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_operators_are_refused_by_their_tag(name: str) -> None:
    with pytest.raises(
        NotStreamableError, match=rf"aten\.{name}\..* at test_capture\.py:\d+: it draws random numbers.*eval\(\)"
    ):
        narrows.stream(Wrapped(RANDOM[name]).eval(), image())


def test_attention_is_refused_for_its_dropout_alone() -> None:
    def attended(dropout: float) -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            x = x.permute(0, 2, 3, 1)
            return F.scaled_dot_product_attention(x, x, x, dropout_p=dropout)

        return function

    assert not graph_of(attended(0.0), image()).refusals
    (refused,) = graph_of(attended(0.1), image()).refusals
    assert "dropout" in str(refused.unsupported)


MASKED = {
    "a mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "rows by a mask": lambda x: x[:, :, x.sum((0, 1, 3)) > 0],
}


@pytest.mark.parametrize("name", MASKED)
def test_sizes_that_depend_on_values_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(CaptureError, match=r"depends on what the image .* holds; pick by a table") as caught:
        narrows.stream(Wrapped(MASKED[name]).eval(), image())
    assert "\n" not in str(caught.value)


def choosy(x: Tensor) -> Tensor:
    if x.shape[2] % 16:
        raise ValueError("height must be a multiple of 16\nsecond line")
    return x * 2


def silent(x: Tensor) -> Tensor:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (choosy, "height must be a multiple of 16"),
        (silent, "ZeroDivisionError"),
        (nn.Conv2d(4, 2, 3, dtype=D), "Given groups=1, weight of size .* expected input.* to have 4 channels.*"),
        (lambda x: x * 2 if x.sum() > 0 else x, "Could not guard on data-dependent expression.*"),
        (lambda x: x @ x, "Expected size for first two dimensions .*"),
    ],
)
def test_a_network_that_fails_at_that_size_is_refused_in_one_line(model: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=rf"^the network can't be captured at this size: {message}$") as caught:
        graph_of(model, image())
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)


def test_the_size_counts_not_the_network() -> None:
    assert operators(graph_of(choosy, image(1, 3, 32, 6))) == ["mul"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: (x * 2, 3), "returns something that is not a tensor"),
        (lambda x: {"a": x * 2, "b": None}, "returns something that is not a tensor"),
        (lambda x: torch.cond(x.sum() > 4, lambda v: v * 2, lambda v: v + 1, (x,)), "nested graph"),
    ],
)
def test_what_is_no_row_graph_is_refused(function: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        graph_of(function, image())


def test_an_unknown_operator_stays_in_the_graph_by_name() -> None:
    graph = graph_of(lambda x: torch.fft.rfft2(x).abs() + 1, image())
    first = graph.refusals[0]
    assert (first.target, first.rows, first.shape) == ("aten.fft_rfft2.default", None, (1, 3, 8, 4))
    assert "no rule for this operator" in str(first.unsupported)
    assert first.inputs == graph.inputs


@pytest.mark.parametrize("folded", [True, False])
def test_a_weight_computed_from_rows_of_the_image_is_refused(folded: bool) -> None:
    def function(x: Tensor) -> Tensor:
        y = F.conv2d(x, torch.ones(8, 3, 3, 3, dtype=D), padding=1)
        scale = x.mean((0, 1, 3))
        y = F.conv2d(x, torch.ones(8, 3, 3, 3, dtype=D), padding=1)
        return F.batch_norm(y if folded else y * 2, torch.zeros(8, dtype=D), torch.ones(8, dtype=D), scale)

    with pytest.raises(NotStreamableError, match=r"batch_norm.*weight or table is computed from rows of the image"):
        narrows.stream(Wrapped(function).eval(), image(), strip=1)


def test_a_custom_operator_stays_one_node_with_the_rule_that_is_registered() -> None:
    @library.custom_op("narrows_tests::tripled", mutates_args=())
    def tripled(x: Tensor) -> Tensor:
        return x * 3

    @tripled.register_fake
    def _(x: Tensor) -> Tensor:
        return torch.empty_like(x)

    def function(x: Tensor) -> Tensor:
        return tripled(x)

    (refused,) = graph_of(function, image()).refusals
    assert refused.target == "narrows_tests.tripled.default"

    def rule(call: Call) -> Operator:
        return Operator("tripled", (call["x"],), lambda strip: tripled(strip.inputs[0]), call["x"].rows)

    operator("narrows_tests.tripled.default")(rule)
    assert lookup("narrows_tests.tripled.default") is rule
    assert "narrows_tests.tripled.default" in registered()
    assert operators(graph_of(function, image())) == ["tripled"]
    assert_streams(function, image())
    with pytest.raises(ValueError, match="has two rules"):
        operator("narrows_tests.tripled.default")(rule)
