from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from narrows.networks.deepwatermap import AsPublished, deepwatermap_v2, same_padding


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return deepwatermap_v2().eval()


class Brightness(nn.Module):
    """A network whose every pixel can be followed by hand."""

    def forward(self, x):
        self.seen = x
        return x.mean(dim=1, keepdim=True)


def test_parameters_are_counted_as_published(network):
    trainable = sum(parameter.numel() for parameter in network.parameters())
    statistics = sum(buffer.numel() for buffer in network.buffers() if buffer.dim())
    assert (trainable, trainable + statistics) == (37_200_150, 37_211_056)


def test_every_scale_holds_four_values_a_pixel(network):
    held = []
    hooks = [unit.register_forward_hook(lambda *call: held.append(call[-1].numel())) for unit in network.encoder]
    network(torch.zeros(1, 6, 64, 96))
    for hook in hooks:
        hook.remove()
    assert held == 4 * [4 * 64 * 96]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (64, 5, 2, (1, 2)),
        (63, 5, 2, (2, 2)),
        (1, 5, 2, (2, 2)),
        (2, 5, 2, (1, 2)),
        (7, 3, 1, (1, 1)),
        (7, 1, 1, (0, 0)),
        (9, 2, 3, (0, 0)),
        (7, 2, 4, (0, 0)),
        (8, 3, 5, (0, 0)),
        (6, 4, 5, (1, 2)),
    ],
)
def test_same_padding(size, kernel, stride, padding):
    assert same_padding(size, kernel, stride) == padding


@pytest.mark.parametrize("size", [(32, 64), (16, 16), (48, 80), (45, 37), (12, 13), (33, 16)])
def test_the_output_has_the_inputs_size_and_is_a_probability(network, size):
    with torch.inference_mode():
        water = network(torch.rand(2, 6, *size))
    assert water.shape == (2, 1, *size)
    assert water.min() >= 0 and water.max() <= 1


@pytest.mark.parametrize("size", [(45, 37), (31, 64), (65, 12)])
def test_other_sides_are_reflected_to_a_multiple_of_32(network, size):
    scene = np.random.default_rng(2).random((1, 6, *size), dtype=np.float32)
    sides = [(-side % 32 // 2, (-side % 32 + 1) // 2) for side in size]
    padded = np.pad(scene, [(0, 0), (0, 0), *sides], mode="reflect")
    with torch.inference_mode():
        whole = network(torch.from_numpy(padded))
        water = network(torch.from_numpy(scene))
    (top, bottom), (left, right) = sides
    expected = whole[..., top : whole.shape[-2] - bottom, left : whole.shape[-1] - right]
    assert torch.equal(water, expected)


def test_too_small_a_side_is_refused(network):
    with pytest.raises(ValueError, match="a side of 11 is too small"):
        network(torch.zeros(1, 6, 11, 64))


@pytest.mark.parametrize("published", [False, True])
def test_it_can_be_captured_at_a_landsat_scenes_size(network, published):
    scene = torch.zeros(1, 1, 1, 1).expand(1, 6, 7741, 7591)
    model = AsPublished(network, -0.1, 1.3).eval() if published else network
    program = torch.export.export(model, (scene,), strict=False)
    (output,) = program.graph.output_node().args[0]
    assert output.meta["val"].shape == (1, 1, 7741, 7591)


@pytest.mark.parametrize(("low", "high"), [(40, 9000), (-0.2, 0.6), (7, 7)])
@pytest.mark.parametrize("size", [(48, 80), (20, 33), (64, 32)])
def test_the_authors_preparation_and_sharpening(low, high, size):
    scene = np.random.default_rng(4).uniform(low, high, (1, 6, *size)).astype(np.float32)
    scene[0, 1, 2, 3], scene[0, 4, 5, 6], scene[0, 0, 7, 8] = np.nan, np.inf, -np.inf
    cleaned = np.where(np.isfinite(scene), scene, 0)
    network = Brightness()
    with torch.inference_mode():
        given = AsPublished(network, cleaned.min(), cleaned.max())(torch.from_numpy(scene)).numpy()
    scaled = cleaned - cleaned.min()
    scaled = scaled / max(scaled.max(), 1)
    expected = 1 / (1 + np.exp(-16 * (scaled.mean(axis=1, keepdims=True) - 0.5)))
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-6)
    assert network.seen.shape[-2:] == tuple(-(-side // 32) * 32 for side in size)


def test_its_constants_are_no_weights(network):
    assert {name.split(".")[0] for name in AsPublished(network, 0, 1).state_dict()} == {"network"}
