"""Weights in TensorFlow's layout, against a network computed in that layout. tests/full has TensorFlow itself."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from narrows.errors import InputError
from narrows.networks.deepwatermap import deepwatermap_v2
from narrows.water.deepwatermap_import import convert, read_checkpoint


def published_shapes():
    shapes = [(1, 1, 6, 4)]
    widths = (4, 16, 64, 256, 1024)
    for fine, coarse in pairwise(widths):
        shapes += [(5, 5, fine, coarse), (3, 3, coarse, coarse)]
    shapes += 2 * [(3, 3, 1024, 1024)]
    for width in (256, 64, 16, 4):
        shapes += 2 * [(3, 3, width, width)]
    return [*shapes, (1, 1, 4, 1)]


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(5)
    found = {}
    for place, shape in enumerate(published_shapes()):
        bound = np.sqrt(6 / np.prod(shape[:3]))
        found[2 * place, "kernel"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        for name, low, high in (
            ("gamma", 0.5, 1.0),
            ("beta", -0.3, 0.3),
            ("moving_mean", -0.3, 0.3),
            ("moving_variance", 1, 3),
        ):
            found[2 * place + 1, name] = rng.uniform(low, high, shape[-1]).astype(np.float32)
    return found


def in_tensorflows_layout(variables, scene):
    """The published network in double precision with TensorFlow's channel order; sides are multiples of 16."""
    places = iter(range(20))

    def convolution(x, stride=1, relu=True):
        place = next(places)
        kernel = torch.from_numpy(variables[2 * place, "kernel"]).double().permute(3, 2, 0, 1)
        before, after = (1, 2) if stride == 2 else 2 * (kernel.shape[-1] // 2,)
        y = F.conv2d(F.pad(x, (before, after, before, after)), kernel, stride=stride)
        gamma, beta, mean, variance = (
            torch.from_numpy(variables[2 * place + 1, name]).double().reshape(1, -1, 1, 1)
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        y = gamma * (y - mean) / torch.sqrt(variance + 1e-3) + beta
        return y.clamp(min=0) if relu else y

    def pair(x, stride=1):
        first = convolution(x, stride)
        return first + convolution(first)

    def depth_to_space(x):
        batch, channels, height, width = x.shape
        blocks = x.reshape(batch, 2, 2, channels // 4, height, width)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // 4, 2 * height, 2 * width)

    skips = [convolution(scene, relu=False)]
    for _ in range(4):
        skips.append(pair(skips[-1], stride=2))
    x = pair(skips[-1])
    for _ in range(4):
        x = pair(depth_to_space(x + skips.pop()))
    return torch.sigmoid(convolution(x + skips.pop(), relu=False))


def test_the_converted_network_computes_the_same(variables):
    network = deepwatermap_v2()
    network.load_state_dict(convert(variables))
    scene = torch.rand(1, 6, 48, 64, generator=torch.Generator().manual_seed(6))
    expected = in_tensorflows_layout(variables, scene.double())
    with torch.inference_mode():
        given = network.eval()(scene)
    assert expected.std() > 0.01
    assert (given - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop((39, "beta")), "layer_with_weights-39/beta is missing"),
        (lambda v: v.update({(40, "kernel"): np.zeros(3)}), "layer_with_weights-40/kernel is one too many"),
        (
            lambda v: v.update({(2, "kernel"): np.zeros((3, 3, 4, 16))}),
            "layer_with_weights-2/kernel is 3 x 3 x 4 x 16, the network needs 5 x 5 x 4 x 16",
        ),
        (lambda v: v.update({(1, "gamma"): np.full(4, np.nan)}), "layer_with_weights-1/gamma holds values"),
    ],
)
def test_other_variables_are_refused(variables, change, message):
    changed = dict(variables)
    change(changed)
    with pytest.raises(InputError, match=message):
        convert(changed)


def checkpoint(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("files", "named", "message"),
    [
        ([], "cp.135.ckpt", r"no such checkpoint \(cp.135.ckpt.index doesn't exist\)"),
        (["cp.135.ckpt.index"], "cp.135.ckpt", "cp.135.ckpt.data-00000-of-00001 is missing"),
        (["cp.135.ckpt.index"], "cp.135.ckpt.index", "cp.135.ckpt.data-00000-of-00001 is missing"),
        (["cp.135.ckpt.data-00000-of-00001"], "cp.135.ckpt.data-00000-of-00001", "cp.135.ckpt.index is missing"),
        (["weights.h5"], "weights.h5", "not a TensorFlow checkpoint"),
        (["notes.txt"], "", "it holds none"),
        (["a.index", "b.index"], "", r"name one checkpoint in it \(a, b\)"),
    ],
)
def test_what_is_no_checkpoint_is_said_before_tensorflow_is_asked(tmp_path, monkeypatch, files, named, message):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    checkpoint(tmp_path, *files)
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / named)


def test_without_tensorflow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    checkpoint(tmp_path, "cp.135.ckpt.index", "cp.135.ckpt.data-00000-of-00001")
    with pytest.raises(InputError, match=r"pip install 'narrows\[deepwatermap\]'") as caught:
        read_checkpoint(tmp_path / "cp.135.ckpt")
    assert "\n" not in str(caught.value)
