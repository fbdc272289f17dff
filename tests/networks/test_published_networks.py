"""Published networks: exact counts, summed by hand from the papers' tables, beside what the papers print."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from counting import Sums, macs, norm_parameters, parameters

from narrows.networks.mobilenet_v2 import mobilenet_v2
from narrows.networks.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from narrows.networks.nasnet import nasnet_a_mobile
from narrows.networks.resnet import resnet50, se_resnet50
from narrows.networks.shufflenet import shufflenet_v2
from narrows.networks.squeezenet import squeezenet

FACTORIES = {
    "shufflenet_v2": shufflenet_v2,
    "shufflenet_v2, squeezed": lambda **arguments: shufflenet_v2(reduction=4, **arguments),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "squeezenet 1.0": lambda **arguments: squeezenet("1.0", **arguments),
    "squeezenet 1.1": squeezenet,
    "nasnet_a_mobile": nasnet_a_mobile,
    "resnet50": resnet50,
    "se_resnet50": se_resnet50,
}


def counts(model, size: int = 224) -> tuple[int, int]:
    return parameters(model), macs(model, size)


@pytest.mark.parametrize(
    ("width", "stages", "last", "printed", "ours"),
    [
        (0.5, (48, 96, 192), 1024, (1.4, 41), (1_366_792, 40_476_448)),
        (1.0, (116, 232, 464), 1024, (2.3, 146), (2_279_760, 145_814_296)),
        (1.5, (176, 352, 704), 1024, (3.5, 299), (3_507_720, 298_970_656)),
        (2.0, (244, 488, 976), 2048, (7.4, 591), (7_403_600, 590_783_000)),
    ],
)
def test_shufflenet_v2(width, stages, last, printed, ours):
    sums = Sums(224).conv(24, 3, stride=2).pool()
    for channels, units in zip(stages, (4, 8, 4), strict=True):
        half, fine = channels // 2, sums.channels
        sums.conv(half, stay=True)  # the longer branch's first 1 x 1, at the finer size
        sums.conv(fine, 3, stride=2, depthwise=True).conv(fine)
        sums.channels = half
        sums.conv(half, 3, depthwise=True, stay=True).conv(channels - fine)
        sums.channels = half
        for _ in range(units - 1):
            sums.conv(half).conv(half, 3, depthwise=True).conv(half)
        sums.channels = channels
    sums.conv(last).linear(1000)
    assert counts(shufflenet_v2(width)) == (sums.parameters, sums.macs) == ours
    assert round(ours[0] / 1e6, 1) == printed[0]
    assert (round(ours[1] / 1e6) if width > 0.5 else ceil(ours[1] / 1e6)) == printed[1]


def test_shufflenet_v2_with_squeeze_and_excitation():
    plain, squeezed = counts(shufflenet_v2(2.0)), counts(shufflenet_v2(2.0, reduction=16))
    branches = [(220, 1), (122, 3), (244, 8), (488, 4)]  # channels that a unit's branch ends in; units
    products = sum(units * 2 * ends * (ends // 16) for ends, units in branches)
    biases = sum(units * (ends + ends // 16) for ends, units in branches)
    assert squeezed == (plain[0] + products + biases, plain[1] + products)


@pytest.mark.parametrize(
    ("width", "channels", "printed", "ours"),
    [
        (1.0, (32, 16, 24, 32, 64, 96, 160, 320, 1280), (3.47, 300), (3_504_872, 300_774_272)),
        (0.75, (24, 16, 24, 24, 48, 72, 120, 240, 1280), (2.61, 209), (2_636_424, 209_069_792)),
        (1.4, (48, 24, 32, 48, 88, 136, 224, 448, 1792), (6.06, 582), (6_108_776, 582_195_824)),
    ],
)
def test_mobilenet_v2(width, channels, printed, ours):
    """`printed` is what the authors' code states (the paper: 3.4 and 300, 6.9 and 585)."""
    first, *stages, last = channels
    sums = Sums(224).conv(first, 3, stride=2)
    rows = [(1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1)]
    for wanted, (expansion, blocks, stride) in zip(stages, rows, strict=True):
        for block in range(blocks):
            hidden = expansion * sums.channels
            if expansion > 1:
                sums.conv(hidden)
            sums.conv(hidden, 3, stride=1 if block else stride, depthwise=True).conv(wanted)
    sums.conv(last).linear(1000)
    model = mobilenet_v2(width)
    assert counts(model) == (sums.parameters, sums.macs) == ours
    assert int(ours[1] / 1e6) == printed[1]
    # Without those of the batch norms, of which the authors' code keeps books apart.
    assert round((ours[0] - norm_parameters(model)) / 1e6, 2) == pytest.approx(printed[0], abs=0.011)


LARGE = """3 16 16 - 1, 3 64 24 - 2, 3 72 24 - 1, 5 72 40 24 2, 5 120 40 32 1, 5 120 40 32 1, 3 240 80 - 2,
3 200 80 - 1, 3 184 80 - 1, 3 184 80 - 1, 3 480 112 120 1, 3 672 112 168 1, 5 672 160 168 2, 5 960 160 240 1,
5 960 160 240 1"""
SMALL = """3 16 16 8 2, 3 72 24 - 2, 3 88 24 - 1, 5 96 40 24 2, 5 240 40 64 1, 5 240 40 64 1, 5 120 48 32 1,
5 144 48 40 1, 5 288 96 72 2, 5 576 96 144 1, 5 576 96 144 1"""


@pytest.mark.parametrize(
    ("build", "table", "last", "wide", "printed", "ours"),
    [
        (mobilenet_v3_large, LARGE, 960, 1280, (5.4, 217), (5_483_032, 216_589_760)),
        (mobilenet_v3_small, SMALL, 576, 1024, (2.5, 56), (2_542_856, 56_510_400)),
    ],
)
def test_mobilenet_v3(build, table, last, wide, printed, ours):
    """`printed` for the large one is what the authors' code states (the paper: 5.4 and 219)."""
    sums = Sums(224).conv(16, 3, stride=2)
    for row in table.split(","):
        kernel, hidden, channels, squeezed, stride = row.split()
        if int(hidden) != sums.channels:
            sums.conv(int(hidden))
        sums.conv(int(hidden), int(kernel), stride=int(stride), depthwise=True)
        if squeezed != "-":
            sums.excite(int(squeezed))
        sums.conv(int(channels))
    sums.conv(last).linear(wide).linear(1000)
    assert counts(build()) == (sums.parameters, sums.macs) == ours
    assert int(ours[0] / 1e5) / 10 == printed[0]
    assert ours[1] / 1e6 == pytest.approx(printed[1], abs=0.6)


@pytest.mark.parametrize(
    ("version", "stem", "pooled", "ours"),
    [
        ("1.0", (96, 7), (4, 8), (1_248_424, 832_667_936)),  # 1,248,424 is printed in the paper's table 1
        ("1.1", (64, 3), (3, 5), (1_235_496, 387_747_520)),
    ],
)
def test_squeezenet(version, stem, pooled, ours):
    sums = Sums(227).conv(*stem, stride=2, valid=True, bias=True, norm=False).pool(ceil=True)
    fires = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
    for number, (squeezed, expanded) in enumerate(fires, start=2):
        sums.conv(squeezed, bias=True, norm=False)
        sums.conv(expanded, bias=True, norm=False, stay=True).conv(expanded, 3, bias=True, norm=False)
        sums.channels = 2 * expanded
        if number in pooled:
            sums.pool(ceil=True)
    sums.conv(1000, bias=True, norm=False)
    assert counts(squeezenet(version), 227) == (sums.parameters, sums.macs) == ours


def test_nasnet_a_mobile():
    def separable(channels: int, kernel: int, stride: int = 1) -> None:
        """Two of them beside the path, the first with the stride."""
        kept = sums.size, sums.channels
        for step in (stride, 1):
            depthwise = kernel * kernel * sums.channels
            sums.size = -(-sums.size // step)
            sums.parameters += depthwise
            sums.macs += depthwise * sums.size**2
            sums.conv(channels)
        sums.size, sums.channels = kept

    def enter(channels: int, before: tuple[int, int]) -> None:
        """1 x 1 of the last output and of the one before it, whose size falls to the same."""
        sums.conv(channels)
        last, sums.channels = sums.channels, before[0]
        sums.conv(channels)
        sums.channels = last

    sums = Sums(224).conv(32, 3, stride=2, valid=True)
    # Stem: the first cell's earlier input is its own, which has 32 channels.
    sums.conv(11, stay=True)
    for kernel in (7, 7, 5):
        separable(11, kernel, 2)
    sums.channels = 11
    separable(11, 5, 2)
    sums.size = -(-sums.size // 2)
    separable(11, 3)
    sums.channels, before = 44, (32, 111)

    def reduction(channels: int) -> None:
        nonlocal before
        arriving = sums.channels, sums.size
        sums.conv(channels, stay=True)
        sums.channels = before[0]
        sums.conv(channels, stay=True)  # factorized or not, as many weights at the same size
        sums.channels = channels
        for kernel in (5, 7, 7, 5):
            separable(channels, kernel, 2)
        sums.size = -(-sums.size // 2)
        separable(channels, 3)
        sums.channels, before = 4 * channels, arriving

    def normal(channels: int) -> None:
        nonlocal before
        arriving = sums.channels, sums.size
        enter(channels, before)
        for kernel in (5, 3, 5, 3, 3):
            separable(channels, kernel)
        sums.channels, before = 6 * channels, arriving

    reduction(22)
    for stage, channels in enumerate((44, 88, 176)):
        if stage:
            reduction(channels)
        for _ in range(4):
            normal(channels)
    assert sums.channels == 1056
    sums.linear(1000)
    ours = (5_289_978, 563_638_816)
    assert counts(nasnet_a_mobile()) == (sums.parameters, sums.macs) == ours
    assert (round(ours[0] / 1e6, 1), round(ours[1] / 1e6)) == (5.3, 564)


@pytest.mark.parametrize(
    ("build", "reduction", "stride_first", "ours"),
    [
        (resnet50, None, True, (25_557_032, 3_857_973_248)),
        (resnet50, None, False, (25_557_032, 4_089_184_256)),
        (se_resnet50, 16, True, (28_088_024, 3_860_488_192)),
    ],
)
def test_resnet_50(build, reduction, stride_first, ours):
    sums = Sums(224).conv(64, 7, stride=2).pool()
    pooled = 0
    for stage, depth in enumerate((3, 4, 6, 3)):
        narrow = 64 << stage
        for block in range(depth):
            stride = 2 if stage and not block else 1
            if not block:
                sums.conv(4 * narrow, stride=stride, stay=True)
            sums.conv(narrow, stride=stride if stride_first else 1)
            sums.conv(narrow, 3, stride=1 if stride_first else stride).conv(4 * narrow)
            if reduction:
                sums.excite(4 * narrow // reduction)
                pooled += 4 * narrow * sums.size**2
    sums.linear(1000)
    assert counts(build(stride_first=stride_first)) == (sums.parameters, sums.macs) == ours
    if stride_first:
        # arXiv 1709.01507, table 1: 3.86 and 3.87 thousand million, means included.
        assert round((ours[1] + pooled) / 1e9, 2) == (3.87 if reduction else 3.86)


def test_squeeze_and_excitation_adds_a_tenth_of_the_parameters():
    added = parameters(se_resnet50()) - parameters(resnet50())
    weights = sum(2 * width**2 // 16 * blocks for width, blocks in [(256, 3), (512, 4), (1024, 6), (2048, 3)])
    assert weights == 2_514_944  # "about 2.5 million" in arXiv 1709.01507
    assert added == weights + sum(
        17 * width // 16 * blocks for width, blocks in [(256, 3), (512, 4), (1024, 6), (2048, 3)]
    )
    assert round(added / parameters(resnet50()), 2) == 0.10


@pytest.mark.parametrize("name", FACTORIES)
def test_any_number_of_bands_and_classes(name):
    model = FACTORIES[name](in_channels=6, classes=7).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, 6, 65, 97)).shape == (2, 7)


@pytest.mark.parametrize("name", FACTORIES)
def test_every_parameter_matters(name):
    torch.manual_seed(0)
    model = FACTORIES[name](classes=5)
    model(torch.rand(2, 3, 96, 96)).square().mean().backward()
    idle = [path for path, parameter in model.named_parameters() if not parameter.grad.abs().max() > 0]
    assert idle == []


def test_unknown_widths_and_versions_are_refused():
    with pytest.raises(ValueError, match=r"widths 0.5, 1.0, 1.5, 2.0, not 3"):
        shufflenet_v2(3)
    with pytest.raises(ValueError, match=r"versions 1.0, 1.1, not 2"):
        squeezenet("2")
