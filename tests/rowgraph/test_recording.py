from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from narrows.errors import CaptureError
from narrows.rowgraph.capture import capture, export_at, taken_apart_program
from narrows.rowgraph.recording import Recording


class Halved(nn.Module):
    """Its sides are halved and doubled again; odd ones would be cropped."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, 2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.PixelShuffle(2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        low, high = torch.chunk(self.norm(self.down(image)), 2, dim=1)
        return self.up(torch.relu(torch.cat([high, low], dim=1)))


def recorded(model: nn.Module, side: int = 8) -> Recording:
    program = export_at(model, [torch.zeros(1, 3, side, side)], {})
    names = {spec.arg.name: str(spec.target) for spec in program.graph_signature.input_specs if spec.target}
    return Recording.of(taken_apart_program(program), names, 2)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("size", [(2, 2), (64, 30)])
def test_the_graph_is_that_of_an_export_at_this_size(size: tuple[int, int], fold: bool, tmp_path: Path) -> None:
    model = Halved().eval()
    (tmp_path / "calls.json").write_text(recorded(model).text())
    kept = Recording.read(tmp_path / "calls.json")
    shape = (1, 3, *size)
    found = capture(kept.program(model.state_dict(), shape, torch.float32), fold=fold)
    wanted = capture(export_at(model, [torch.zeros(shape)], {}), fold=fold)
    assert found == wanted
    assert [node.place for node in found.nodes] == [node.place for node in wanted.nodes]
    assert (found.structure, found.input_structure) == (wanted.structure, wanted.input_structure)
    assert found.constant_bytes == wanted.constant_bytes
    for index, tensor in wanted.constants.items():
        assert found.constants[index].data_ptr() == tensor.data_ptr()


def test_it_serves_whole_multiples_and_the_same_layers_alone() -> None:
    model = Halved().eval()
    kept, state = recorded(model), model.state_dict()
    assert kept.serves(state, [(1, 3, 8, 10)])
    assert not kept.serves(state, [(1, 3, 8, 9)])
    assert not kept.serves(state, [(3, 8, 10)])
    assert not kept.serves(state, [(1, 3, 8, 8), (1, 3, 8, 8)])
    assert not kept.serves(state | {"more.weight": torch.zeros(1)}, [(1, 3, 8, 8)])
    del state["down.bias"]
    assert not kept.serves(state, [(1, 3, 8, 8)])


def test_what_json_does_not_hold_is_refused() -> None:
    class Cast(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.to(torch.float64)

    with pytest.raises(CaptureError, match="holds no dtype"):
        recorded(Cast().eval())


def test_several_outputs_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return image + 1, image + 2

    with pytest.raises(CaptureError, match="one image in and one out"):
        recorded(Two().eval())
