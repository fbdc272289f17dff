"""The recorded calls of the water networks are those of today's code, and are what maps are made from."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from narrows.networks.water_net import WaterNet, water
from narrows.rowgraph.capture import capture
from narrows.rowgraph.graph import RowGraph
from narrows.streaming import capturing
from narrows.streaming.capturing import captured, exported
from narrows.water import weights
from narrows.water.adapters import WaterAndHidden, WaterOnly
from narrows.water.network import default_network, with_hidden
from narrows.water.recorded_calls import path_for, record

SHAPES = [(1, 6, 1040, 2008)]
FIRST_MAP = """
import sys
from narrows.water.network import default_network
default_network("water-small").check(512, 640)
print(*[name for name in ("sympy", "torch._dynamo", "torch._inductor") if name in sys.modules])
"""


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Modules that `captured` exports, in order."""
    seen: list[nn.Module] = []

    def note(model: nn.Module, *more: Any) -> Any:
        seen.append(model)
        return exported(model, *more)

    monkeypatch.setattr(capturing, "exported", note)
    return seen


def graph_of_export(module: nn.Module) -> RowGraph:
    return capture(exported(module, SHAPES, torch.float32))


@pytest.mark.parametrize("adapter", [WaterOnly, WaterAndHidden])
def test_the_files_are_what_the_networks_call_today(adapter: Any) -> None:
    network = adapter(water()).eval()
    assert path_for(network).read_text() == record(network).text(), "run python -m narrows.water.recorded_calls"


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("name", ["water", "water-small"])
def test_shipped_networks_have_the_graph_of_their_export(name: str, hidden: bool, exports: list[nn.Module]) -> None:
    network = default_network(name, hidden=hidden)
    found = captured(network.module, SHAPES, torch.float32)
    assert not exports
    assert found == graph_of_export(network.module)


def test_mapping_with_shipped_weights_needs_no_export_machinery() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_MAP], capture_output=True, text=True, check=True)
    assert not done.stdout.split()


def test_a_network_of_other_depth_is_exported(exports: list[nn.Module]) -> None:
    network = with_hidden("deeper", WaterNet((8, 8, 8, 8), (2, 2)).eval(), hidden=True)
    assert captured(network.module, SHAPES, torch.float32) == graph_of_export(network.module)
    assert exports


def test_a_network_that_is_changed_after_loading_is_exported(exports: list[nn.Module]) -> None:
    network = default_network("water-small")
    assert isinstance(network.module, WaterOnly)
    network.module.network.stride = 16  # pads to 16 now
    assert captured(network.module, SHAPES, torch.float32) == graph_of_export(network.module)
    assert exports


def test_adapters_give_what_the_networks_give() -> None:
    network = weights.load("water-small")
    reflectance = torch.rand(1, 6, 40, 50)
    with torch.no_grad():
        both = network(reflectance)
        assert torch.equal(WaterOnly(network)(reflectance), both[0])
        assert torch.equal(WaterAndHidden(network)(reflectance), torch.cat(both, dim=1))
