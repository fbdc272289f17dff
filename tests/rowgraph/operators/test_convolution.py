"""Convolution and transposed convolution on strips against the full frame."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import narrows
from narrows.errors import NotStreamableError

STRIPS = (1, 2, 3, 7, 1000)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}


class Wrapped(nn.Module):
    def __init__(self, function, *modules):
        super().__init__()
        self.function, self.held = function, nn.ModuleList(modules)

    def forward(self, x):
        return self.function(x)


def check(model, x, exact=False, strips=STRIPS):
    torch.set_num_threads(1)
    model = model.to(x.dtype).eval()
    with torch.no_grad():
        full = model(x)
    for strip in strips:
        got = narrows.stream(model, x, strip=strip)
        assert got.shape == full.shape and got.dtype == full.dtype
        if exact:
            assert torch.equal(got, full), strip
        else:
            gap = (got.double() - full.double()).abs().max()
            assert gap <= TOLERANCES[x.dtype] * full.double().abs().max(), strip


def image(rng, channels, height, width, dtype, batch=1):
    values = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(rng.randint(0, 999)))
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def followed(rng, convolution, channels):
    """The convolution alone, or with what is folded into it."""
    norm = nn.BatchNorm2d(channels, affine=rng.random() < 0.7)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return nn.Sequential(convolution, *rng.choice([[], [norm], [nn.ReLU()], [norm, nn.ReLU()], [nn.GELU()]]))


@pytest.mark.parametrize("seed", range(40))
def test_conv2d(seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    groups = rng.choice([1, 1, 2, 4])
    given, made = groups * rng.randint(1, 3), groups * rng.randint(1, 3)
    kernel = (rng.randint(1, 5), rng.randint(1, 5))
    dilation = (rng.randint(1, 3), rng.randint(1, 2))
    mode = rng.choice(["zeros", "zeros", "reflect", "replicate"])
    stride, padding = (rng.randint(1, 5), rng.randint(1, 3)), (rng.randint(0, 7), rng.randint(0, 3))
    if rng.random() < 0.2:
        stride, padding = (1, 1), rng.choice(["same", "valid"])
    height = rng.randint(8 if mode == "reflect" else 1, 24)
    width = rng.randint(9, 16)
    reach = dilation[0] * (kernel[0] - 1) + 1
    height = max(height, reach - 2 * (padding[0] if padding != "valid" and padding != "same" else 0))
    model = nn.Conv2d(
        given, made, kernel, stride, padding, dilation, groups, bias=rng.random() < 0.7, padding_mode=mode
    )
    dtype = rng.choice([torch.float64, torch.float64, torch.float32])
    check(followed(rng, model, made), image(rng, given, height, width, dtype, rng.choice([1, 1, 3])))


@pytest.mark.parametrize("seed", range(10))
def test_conv2d_bitwise(seed):
    """Above 20,480 input values, where PyTorch hands the full frame to oneDNN as strips are."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    kernel, stride = rng.choice([3, 5, (3, 1)]), rng.choice([1, 2])
    model = nn.Sequential(nn.Conv2d(8, 16, kernel, stride, rng.randint(0, 3)), nn.ReLU(), nn.Conv2d(16, 4, 3))
    x = image(rng, 8, rng.randint(60, 80), 64, torch.float32)
    assert x.numel() > 20480
    with torch.no_grad():
        assert model[:2](x).numel() > 20480 or stride == 2
    if stride == 1:
        check(model, x, exact=True, strips=(1, 7, 1000))
    else:
        check(model, x, strips=(1, 7, 1000))


def test_windows_wholly_in_padding():
    rng = random.Random(0)
    check(nn.Conv2d(2, 3, 2, 3, 9), image(rng, 2, 1, 4, torch.float64))
    check(nn.Conv2d(2, 3, (3, 1), (4, 1), (2, 0), dilation=(5, 1)), image(rng, 2, 12, 4, torch.float64))


@pytest.mark.parametrize(("left", "right"), [(0, 1), (2, 0), (3, 1)])
def test_asymmetric_explicit_padding(left, right):
    rng = random.Random(left)
    model = nn.Sequential(nn.ZeroPad2d((left, right, right, left)), nn.Conv2d(3, 4, 3, 2))
    check(model, image(rng, 3, 17, 12, torch.float64))
    check(nn.Conv2d(3, 4, (4, 2), padding="same"), image(rng, 3, 17, 12, torch.float64))


def test_image_without_batch():
    convolution = nn.Conv2d(3, 4, 3, 2, 1)
    check(Wrapped(lambda x: convolution(x[0])[None], convolution), torch.randn(1, 3, 15, 11, dtype=torch.float64))
    up = nn.ConvTranspose2d(3, 4, 3, 2, 1, 1)
    check(Wrapped(lambda x: up(x[0])[None], up), torch.randn(1, 3, 15, 11, dtype=torch.float64))


def test_bfloat16():
    rng = random.Random(1)
    check(nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU()), image(rng, 4, 20, 16, torch.bfloat16))
    check(nn.ConvTranspose2d(4, 8, 2, 2), image(rng, 4, 20, 16, torch.bfloat16))


@pytest.mark.parametrize("seed", range(40))
def test_conv_transpose2d(seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    groups = rng.choice([1, 1, 2, 3])
    given, made = groups * rng.randint(1, 3), groups * rng.randint(1, 3)
    kernel, stride = (rng.randint(1, 5), rng.randint(1, 4)), (rng.randint(1, 6), rng.randint(1, 3))
    dilation = (rng.randint(1, 3), rng.randint(1, 2))
    padding = tuple(rng.randint(0, d * (k - 1)) for k, d in zip(kernel, dilation, strict=True))
    extra = tuple(rng.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    height, width = rng.randint(1, 14), rng.randint(4, 12)
    model = nn.ConvTranspose2d(
        given, made, kernel, stride, padding, extra, groups, bias=rng.random() < 0.7, dilation=dilation
    )
    out = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip((height, width), stride, padding, dilation, kernel, extra, strict=True)
    ]
    dtype = rng.choice([torch.float64, torch.float64, torch.float32])
    x = image(rng, given, height, width, dtype, rng.choice([1, 2]))
    if min(out) >= 1:
        check(followed(rng, model, made), x)


def test_folded_batch_norm_keeps_the_order_of_groups():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    for values in (norm.running_mean, norm.weight.data, norm.bias.data):
        values.normal_()
    norm.running_var.uniform_(0.1, 3)
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2, groups=2), norm, nn.ReLU()).double().eval()
    graph = narrows.plan(model, 9, 7, strip=2)
    assert not any("batch_norm" in entry.name for entry in graph.ledger)
    check(model, torch.randn(1, 4, 9, 7, dtype=torch.float64))


def test_cropped_rows_are_counted():
    model = nn.ConvTranspose2d(2, 3, 3, 2, 1).eval()
    whole = narrows.plan(model, 12, 8, strip=1000)
    assert whole.discarded_rows == 2
    assert narrows.plan(model, 12, 8, strip=3).discarded_rows > whole.discarded_rows
    doubling = nn.ConvTranspose2d(2, 3, 2, 2).eval()
    assert narrows.plan(doubling, 12, 8, strip=1000).discarded_rows == 0
    # Each input row makes two rows, of which a strip of one keeps one.
    assert narrows.plan(doubling, 12, 8, strip=1).discarded_rows == 24


def test_weights_from_the_image_are_refused():
    model = Wrapped(lambda x: F.conv2d(x, x[:, :, :3, :3]))
    with pytest.raises(NotStreamableError, match="weights depend on the image"):
        narrows.stream(model.eval(), torch.randn(1, 3, 9, 9))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("groups", "kernel", "stride", "padding", "width"),
    [(1, (3, 1), (2, 3), (0, 2), 1), (4, (3, 1), (2, 3), (0, 2), 1), (4, (2, 4), (1, 3), (0, 0), 5)],
)
def test_images_and_results_of_one_column(groups, kernel, stride, padding, width, dtype):
    """On rows from a line buffer, channels last: there PyTorch's own kernels crash or are wrong at such widths."""
    torch.manual_seed(0)
    first = nn.Conv2d(4, 4, (3, 1), padding=(1, 0))
    second = nn.Conv2d(4, 12, kernel, stride, padding, groups=groups)
    check(Wrapped(lambda x: second(first(x)), first, second), torch.randn(1, 4, 20, width, dtype=dtype))
