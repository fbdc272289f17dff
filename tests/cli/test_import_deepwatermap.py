from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from narrows.cli.import_deepwatermap import command
from narrows.errors import NarrowsError
from narrows.networks.deepwatermap import deepwatermap_v2
from narrows.water import deepwatermap_import


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_weights_are_written_and_load(tmp_path, monkeypatch):
    state = deepwatermap_v2().state_dict()
    monkeypatch.setattr(deepwatermap_import, "import_checkpoint", lambda checkpoint: state)
    output = tmp_path / "weights.safetensors"
    done = run(tmp_path / "cp.135.ckpt", "-o", output)
    assert done.output == f"{output}: the weights of DeepWaterMapV2, 37,211,056 values\n"
    again = deepwatermap_v2()
    again.load_state_dict(load_file(output))
    assert torch.equal(again.encoder[3].first.convolution.weight, state["encoder.3.first.convolution.weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_disk_that_fills_leaves_nothing(tmp_path, monkeypatch):
    def fill(path, content):
        path.write_text("partly")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(deepwatermap_import, "import_checkpoint", lambda checkpoint: deepwatermap_v2().state_dict())
    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(NarrowsError, match="No space left on device"):
        run(tmp_path / "cp.135.ckpt", "-o", tmp_path / "weights.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_kept(tmp_path):
    (tmp_path / "weights.safetensors").write_text("mine")
    with pytest.raises(NarrowsError, match="pass --overwrite"):
        run(tmp_path / "cp.135.ckpt", "-o", tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").read_text() == "mine"


def test_the_output_is_looked_at_before_the_checkpoint(tmp_path):
    with pytest.raises(NarrowsError, match=r"the folder .* doesn't exist"):
        run(tmp_path / "cp.135.ckpt", "-o", tmp_path / "nowhere" / "weights.safetensors")


def test_a_missing_checkpoint_leaves_nothing(tmp_path):
    with pytest.raises(NarrowsError, match="no such checkpoint"):
        run(tmp_path / "cp.135.ckpt", "-o", tmp_path / "weights.safetensors")
    assert list(tmp_path.iterdir()) == []
