from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from narrows.networks.convnext import ConvNeXtBlock, convnext_dense
from narrows.networks.dilated import dilated
from narrows.networks.pyramid import two_output_pyramid
from narrows.networks.unet import unet

FACTORIES = {
    "unet": unet,
    "unet, bilinear": lambda **arguments: unet(transposed=False, **arguments),
    "unet x 4": lambda **arguments: unet(width=4, multiplier=4, **arguments),
    "convnext": convnext_dense,
    "dilated": dilated,
    "pyramid": two_output_pyramid,
}


def _unet_parameters(bands, widths):
    """Transposed 2 x 2 convolutions have a bias, padded 3 x 3 ones a batch norm; one output channel."""
    steps = list(pairwise(widths))
    encoder = sum(9 * a * b + 9 * b * b + 4 * b for a, b in pairwise([bands, *widths]))
    return encoder + sum(4 * b * a + a + 9 * 2 * a * a + 9 * a * a + 4 * a for a, b in steps) + widths[0] + 1


@pytest.fixture(params=FACTORIES)
def factory(request):
    return FACTORIES[request.param]


def full(output):
    return output["full"] if isinstance(output, dict) else output


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # Convolutions, each with the weight and bias of its batch norm, two a level; 1 x 1 head.
        ("unet, bilinear", 1_812_449),
        ("unet", 1_812_449 + 3 * sum(2 * width * width for width in (16, 32, 64, 128))),
        ("unet", _unet_parameters(6, [16, 32, 64, 128, 256])),
        ("unet x 4", _unet_parameters(6, [4, 16, 64, 256, 1024])),
        ("convnext", 421_921),
        ("dilated", (6 * 9 + 1) * 16 + 6 * (9 * 16 * 16 + 2 * 16) + 17),
        ("pyramid", 300_482),
    ],
)
def test_parameter_counts(name, count):
    assert sum(parameter.numel() for parameter in FACTORIES[name]().parameters()) == count


@pytest.mark.parametrize("size", [(1, 1), (5, 33), (64, 96), (67, 31)])
def test_the_output_has_the_inputs_size(factory, size):
    network = factory(in_channels=3, out_channels=2).eval()
    with torch.inference_mode():
        assert full(network(torch.rand(2, 3, *size))).shape == (2, 2, *size)


@pytest.mark.parametrize("size", [(1, 1), (64, 96), (67, 31), (66, 5)])
def test_the_pyramids_second_output_is_a_quarter(size):
    with torch.inference_mode():
        output = two_output_pyramid().eval()(torch.rand(1, 6, *size))
    assert set(output) == {"full", "quarter"}
    assert output["quarter"].shape == (1, 1, -(-size[0] // 4), -(-size[1] // 4))


def test_they_can_be_captured_at_a_landsat_scenes_size(factory):
    scene = torch.zeros(1, 1, 1, 1).expand(1, 6, 7741, 7591)
    program = torch.export.export(factory().eval(), (scene,), strict=False)
    shapes = [tuple(output.meta["val"].shape) for output in program.graph.output_node().args[0]]
    assert shapes[0] == (1, 1, 7741, 7591)


def test_no_operator_needs_the_whole_image(factory):
    """What changes far below leaves the top rows as they were."""
    network = factory().eval()
    image = torch.rand(1, 6, 640, 8)
    changed = image.clone()
    changed[..., 600:, :] = 9
    with torch.inference_mode():
        before, after = full(network(image)), full(network(changed))
    assert torch.equal(before[..., :64, :], after[..., :64, :])
    assert not torch.equal(before[..., 600:, :], after[..., 600:, :])


def test_every_parameter_matters(factory):
    torch.manual_seed(0)
    network = factory()
    output = network(torch.rand(2, 6, 48, 48))
    sum(value.square().mean() for value in (output.values() if isinstance(output, dict) else [output])).backward()
    idle = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().max() > 0]
    assert idle == []


def test_a_convnext_block_is_what_the_paper_draws():
    torch.manual_seed(0)
    block = ConvNeXtBlock(8, scale=0.5).eval()
    x = torch.rand(1, 8, 9, 7)
    y = F.conv2d(x, block.depthwise.weight, block.depthwise.bias, padding=3, groups=8)
    y = (y - y.mean(1, keepdim=True)) / torch.sqrt(y.var(1, keepdim=True, unbiased=False) + 1e-6)
    y = F.gelu(F.conv2d(y, block.expand.weight[..., None, None], block.expand.bias))
    y = F.conv2d(y, block.project.weight[..., None, None], block.project.bias)
    with torch.inference_mode():
        torch.testing.assert_close(block(x), x + 0.5 * y)


@pytest.mark.parametrize(("multiplier", "share"), [(2, 2), (4, 1)])
def test_a_unet_holds_half_as_much_at_each_level_or_as_much(multiplier, share):
    network, held = unet(width=4, multiplier=multiplier).eval(), []
    hooks = [block.register_forward_hook(lambda *call: held.append(call[-1].numel())) for block in network.encoder]
    with torch.inference_mode():
        network(torch.rand(1, 6, 64, 32))
    for hook in hooks:
        hook.remove()
    assert held == [4 * 64 * 32 // share**level for level in range(5)]


def test_the_dilated_networks_reach_is_as_documented():
    network = dilated(dilations=(1, 2, 4)).eval()
    image = torch.zeros(1, 6, 41, 41, requires_grad=True)
    network(image)[0, 0, 20, 20].backward()
    rows = torch.nonzero(image.grad.abs().sum(dim=(0, 1, 3))).flatten()
    assert (int(rows.min()), int(rows.max())) == (20 - 8, 20 + 8)
