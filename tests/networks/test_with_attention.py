from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import narrows
from narrows.errors import NotStreamableError
from narrows.layers.squeeze_excitation import RunningSqueezeExcitation, SqueezeExcitation
from narrows.networks.convnext import convnext_dense
from narrows.networks.deepwatermap import deepwatermap_v2
from narrows.networks.mobilenet_v2 import mobilenet_v2
from narrows.networks.nasnet import nasnet_a_mobile
from narrows.networks.pyramid import two_output_pyramid
from narrows.networks.resnet import resnet50
from narrows.networks.rowwise_water import rowwise_water
from narrows.networks.shufflenet import shufflenet_v2
from narrows.networks.squeezenet import squeezenet
from narrows.networks.unet import unet
from narrows.networks.with_attention import attention_places, with_attention

PLACES = {
    resnet50: "stages.0 stages.1 stages.2 stages.3",
    shufflenet_v2: "stages.0 stages.1 stages.2",
    mobilenet_v2: "stages.0 stages.1 stages.2 stages.4 stages.6",
    squeezenet: "features.4 features.7 features.12",
    nasnet_a_mobile: "cells.0 cells.5 cells.10 cells.15",
    unet: "encoder.0 encoder.1 encoder.2 encoder.3 encoder.4 decoder.0 decoder.1 decoder.2 decoder.3",
    convnext_dense: "stages.0 stages.1 stages.2",
    # Full resolution has 4 channels only.
    deepwatermap_v2: "encoder.0 encoder.1 encoder.2 bottleneck decoder.0 decoder.1 decoder.2",
    rowwise_water: "encode_half encode_quarter encode_eighth decode_quarter decode_half decode_full",
    two_output_pyramid: "encoder.0 encoder.1 encoder.2 encoder.3",
}


def image_for(model: nn.Module) -> torch.Tensor:
    first = next(part for part in model.modules() if isinstance(part, nn.Conv2d))
    return torch.rand(1, first.in_channels, 64, 96)


@pytest.mark.parametrize("factory", PLACES, ids=lambda factory: factory.__name__)
def test_it_stands_at_the_stages_ends_and_starts_as_the_identity(factory):
    torch.manual_seed(0)
    model = factory().eval()
    attended = with_attention(model, 4)
    assert sorted(attention_places(attended)) == sorted(PLACES[factory].split())
    assert attention_places(model) == () and not attended.training
    image = image_for(model)
    with torch.inference_mode():
        for expected, given in zip(pytree.tree_leaves(model(image)), pytree.tree_leaves(attended(image)), strict=True):
            assert torch.equal(given, expected)


class Flat(nn.Sequential):
    """Layers side by side, without modules for its stages."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.Conv2d(32, 12, 1), nn.Sigmoid(),
        )  # fmt: skip


def test_a_flat_networks_stages_end_after_norm_and_activation_and_a_head_is_no_stage():
    attended = with_attention(Flat())
    assert attention_places(attended) == ("5", "10")
    assert attended[5].attention.squeeze.out_channels == 1


def test_weights_stay_and_only_attention_is_new():
    model = unet(width=16)
    attended = with_attention(model, 8)
    kept = {name.replace(".module.", "."): value for name, value in attended.state_dict().items()}
    for name, value in model.state_dict().items():
        assert torch.equal(kept.pop(name), value)
    assert all(".attention." in name for name in kept)
    widths = [16, 32, 64, 128, 256, 128, 64, 32, 16]
    added = sum(2 * width * (width // 8) + width + width // 8 for width in widths)
    assert sum(value.numel() for value in kept.values()) == added


def test_it_learns():
    torch.manual_seed(0)
    attended = with_attention(Flat().train(), 2)
    assert attended.training
    attended(torch.rand(2, 3, 32, 32)).square().mean().backward()
    for place in attention_places(attended):
        assert attended.get_submodule(place).attention.excite.weight.grad.abs().max() > 0


def test_where_it_is_asked_for():
    attended = with_attention(unet(), where=["encoder.1.0", "decoder.2"])
    assert attention_places(attended) == ("encoder.1.0", "decoder.2")


def test_what_is_asked_of_the_module_is_answered():
    attended = with_attention(Flat(), where=["3"])
    assert attended[3].kernel_size == (3, 3)
    with pytest.raises(AttributeError, match="nothing"):
        attended[3].nothing  # noqa: B018


def test_it_is_a_barrier_unless_it_runs_along():
    torch.manual_seed(0)
    with pytest.raises(NotStreamableError, match="every row"):
        narrows.plan(with_attention(Flat()).eval(), 64, 64)
    along = with_attention(Flat(), make=RunningSqueezeExcitation).double().eval()
    for place in attention_places(along):
        along.get_submodule(place).attention.excite.weight.data.normal_()
    image = torch.rand(1, 3, 40, 24, dtype=torch.float64)
    with torch.inference_mode():
        whole = along(image)
    assert (narrows.stream(along, image, strip=4) - whole).abs().max() <= 1e-10 * whole.abs().max()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (unet(), {"where": ["encoder.9"]}, "no module 'encoder.9'"),
        (unet(transposed=True), {"where": ["decoder"]}, "never calls its module 'decoder'"),
        (squeezenet(), {"where": ["classifier.4"]}, "'classifier.4' doesn't give an image"),
        (nn.Sequential(nn.ReLU()), {}, "give channels"),
        (nn.Sequential(nn.Conv2d(3, 8, 3)), {}, "no stage"),
        (unet(), {"channels": 3}, "can't be run on 3 x 256 x 256"),
    ],
)
def test_what_cant_be_done_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        with_attention(model, **options)
    assert not any(isinstance(part, SqueezeExcitation) for part in model.modules())
