"""Published networks give what another implementation gives with the same weights.

The peer is pytorchcv (``pip install --no-deps pytorchcv``, so as not to have torchvision). Without it, all are skipped.
"""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from torch import nn

from narrows.networks.nasnet import nasnet_a_mobile
from narrows.networks.resnet import resnet50, se_resnet50
from narrows.networks.shufflenet import shufflenet_v2
from narrows.networks.squeezenet import squeezenet

pytest.importorskip("pytorchcv")

CASES = {
    "resnet.resnet50": resnet50,
    "resnet.resnet50b": lambda: resnet50(stride_first=False),
    "seresnet.seresnet50": se_resnet50,
    # The peer's wider ones halve the first unit of the second stage evenly; the authors' code doesn't.
    "shufflenetv2.shufflenetv2_wd2": lambda: shufflenet_v2(0.5),
    "squeezenet.squeezenet_v1_0": lambda: squeezenet("1.0"),
    "squeezenet.squeezenet_v1_1": squeezenet,
    "nasnet.nasnet_4a1056": nasnet_a_mobile,
}


def weighted_in_order(model: nn.Module, image: torch.Tensor) -> list[nn.Module]:
    """The layers with weights, in the order in which they run."""
    met: list[nn.Module] = []
    hooks = [
        part.register_forward_hook(lambda part, *_: met.append(part))
        for part in model.modules()
        if isinstance(part, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))
    ]
    model(image)
    for hook in hooks:
        hook.remove()
    return met


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_equal_outputs(name):
    module, factory = name.split(".")
    torch.manual_seed(0)
    peer = getattr(import_module(f"pytorchcv.models.{module}"), factory)().eval()
    if module == "shufflenetv2":
        # The peer's first pooling rounds up instead of padding; the authors' code pads.
        peer.features.init_block.pool = nn.MaxPool2d(3, 2, 1)
    model, image = CASES[name]().eval(), torch.rand(1, 3, 224, 224)
    for ours, theirs in zip(weighted_in_order(model, image), weighted_in_order(peer, image), strict=True):
        if isinstance(theirs, nn.BatchNorm2d):
            theirs.running_mean.normal_(0.0, 0.1)
            theirs.running_var.uniform_(0.5, 1.5)
        ours.load_state_dict(theirs.state_dict())
    expected = peer(image)
    assert (model(image) - expected).abs().max() <= 1e-6 * expected.abs().max()
