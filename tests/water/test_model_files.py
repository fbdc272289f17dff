from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from narrows.errors import InputError
from narrows.networks.rowwise_water import RowwiseWater
from narrows.networks.water_net import WaterNet
from narrows.water.api import choose_network
from narrows.water.model_files import (
    DEFAULT,
    SIZES,
    WaterModel,
    new_model,
    read_model_file,
    save_model_file,
    shipped_model,
)


@pytest.mark.parametrize(
    "network", [WaterNet((5, 4, 6, 8), (2, 1)), WaterNet((4, 6, 8, 10)), RowwiseWater((4, 6, 8, 10), (1, 3))]
)
def test_a_network_comes_back_from_its_file(tmp_path: Path, network: torch.nn.Module) -> None:
    path = tmp_path / "mine.safetensors"
    save_model_file(WaterModel("any", network.eval(), {"steps": 3}), path)
    model = read_model_file(path)
    assert (model.name, model.training) == ("mine", {"steps": 3})
    x = torch.rand(1, 6, 17, 25)
    with torch.no_grad():
        for one, other in zip(network(x), model.module(x), strict=True):
            assert torch.equal(one, other)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.safetensors"]
    chosen = choose_network(str(path), "probability")
    assert chosen.name == "mine"
    assert chosen.digest == choose_network(str(path), "probability", hidden=True).digest


def test_a_file_that_is_no_such_network_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    with pytest.raises(InputError, match="no such file"):
        read_model_file(path)
    path.write_bytes(b"12345678901234")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_model_file(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="doesn't say which water network"):
        read_model_file(path)
    about = {"architecture": "water_net", "configuration": '{"widths": [4, 6], "depths": [1, 1]}'}
    save_file({"x": torch.zeros(1)}, path, about)
    with pytest.raises(InputError, match="can't be made"):
        read_model_file(path)
    save_file({"x": torch.zeros(1)}, path, {**about, "configuration": '{"widths": [4, 4, 6, 8], "depths": [1, 1]}'})
    with pytest.raises(InputError, match="not the weights of this network"):
        read_model_file(path)


def test_sizes_and_weights_by_name() -> None:
    counts = {size: sum(parameter.numel() for parameter in new_model(size).module.parameters()) for size in SIZES}
    assert counts["water-small"] < 60_000 < counts["water"] < 500_000
    with pytest.raises(InputError, match="--size huge"):
        new_model("huge")
    assert shipped_model(DEFAULT).name == DEFAULT
    with pytest.raises(InputError, match="no weights called"):
        shipped_model("nothing")
