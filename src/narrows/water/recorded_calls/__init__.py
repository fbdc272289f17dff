"""The calls of the water networks, recorded, so that a map needs no export by PyTorch before its first row.

``python -m narrows.water.recorded_calls`` makes them again; it must be run after every change of the networks' code
(a test compares them with what is exported). The calls don't depend on widths or weights: "water", "water-small" and
networks trained from them have the same. `narrows.rowgraph.recording` says what a file holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from narrows.rowgraph.recording import Recording

__all__ = ["path_for", "record", "use_recorded_calls"]


def path_for(adapter: nn.Module) -> Path:
    """The file for networks in such an adapter, `WaterOnly` or `WaterAndHidden`."""
    return Path(__file__).parent / f"{type(adapter).__name__}.json"


def use_recorded_calls(adapter: nn.Module) -> None:
    """Let a water network in its adapter be captured by its recorded calls, if it has the layers that were recorded."""
    from narrows.networks.water_net import WaterNet
    from narrows.rowgraph.recording import Recording
    from narrows.streaming.capturing import use_recording

    if type(adapter.network) is not WaterNet:
        return
    recording = Recording.read(path_for(adapter))
    if sorted(recording.tensors.values()) == sorted(adapter.state_dict()):
        use_recording(adapter, recording)


def record(adapter: nn.Module) -> Recording:
    """The calls of a water network in its adapter, exported anew."""
    import torch

    from narrows.networks.water_net import WaterNet
    from narrows.rowgraph.capture import taken_apart_program
    from narrows.rowgraph.recording import Recording
    from narrows.streaming.capturing import exported

    side = 5 * WaterNet.stride
    program = exported(adapter, [(1, WaterNet.in_channels, side, side)], torch.float32)
    names = {spec.arg.name: str(spec.target) for spec in program.graph_signature.input_specs if spec.target}
    return Recording.of(taken_apart_program(program), names, WaterNet.stride)
