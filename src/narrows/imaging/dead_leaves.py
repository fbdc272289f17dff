"""Dead-leaves images: opaque shapes that fall on each other until they cover the plane.

With radii of density 1 / r^3 every octave of sizes covers the same area, which gives the edges, occlusions and the
scale invariance of photographs (Lee, Mumford, Huang, "Occlusion models for natural images", IJCV 2001), and networks
trained on them restore photographs well (Achddou, Gousseau, Ladjal, "Synthetic images as a regularity prior for image
restoration neural networks", SSVM 2021). Here leaves are ellipses and convex polygons with textures, gratings and
shading; the image is rendered at twice its size and averaged, part of it is out of focus, and all of it is slightly
blurred as a lens does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import InputError
from narrows.imaging.palette import LUMA, draw_materials

__all__ = ["LeafPool", "dead_leaves"]

_FINE = 2
"""Pixels of the rendering along each side of a pixel of the image."""
_LAYERS = 4.0
"""Mean number of leaves over a point; exp(-4), a fiftieth, stays bare and shows the ground, one large leaf."""
_LARGEST = 192.0
_SIDES = (0, 3, 4, 4, 5, 6)
"""Kinds of leaf: 0 is an ellipse, the others convex polygons of so many sides, within their disk."""
_AT_ONCE = 2**21
"""Pixels of leaves whose masks are made at once."""


def dead_leaves(count: int, height: int, width: int, *, channels: int = 3, seed: int) -> Tensor:
    """Make dead-leaves images.

    Args:
        count: how many.
        height: in pixels.
        width: in pixels.
        channels: 3 for red, green, blue; 1 for their luma.
        seed: at least 0; the same seed, count and size give the same images.

    Returns:
        float32 (count, channels, height, width), values 0 to 1.

    Raises:
        InputError: for a count or size below 1, a negative seed, or other channels.
    """
    if min(count, height, width) < 1:
        raise InputError(f"{count} images of {height} x {width} were asked for; each figure must be 1 or more")
    if channels not in (1, 3):
        raise InputError(f"dead-leaves images have 1 or 3 channels, not {channels}")
    if seed < 0:
        raise InputError(f"the seed of dead-leaves images is {seed}; it must be 0 or more")
    random = np.random.default_rng([seed, 0x1EAF])
    leaves = _fall(count, height, width, random)
    front = _visible(leaves, count, _FINE * height, _FINE * width)
    image = _shade(leaves, front, random)
    image = F.avg_pool2d(image, _FINE)
    image = _focus(image, front, len(leaves.radius), random)
    tone = torch.from_numpy(random.uniform(0.75, 1.3, (count, 1, 1, 1)).astype(np.float32))
    image = image.clamp(0, 1) ** tone
    if channels == 1:
        image = torch.einsum("nchw,c->nhw", image, torch.tensor(LUMA))[:, None]
    return image.contiguous()


@dataclass(frozen=True)
class _Leaves:
    """n leaves in falling order, the first on top; lengths in fine pixels."""

    image: NDArray[np.int64]
    radius: NDArray[np.float32]
    centre: NDArray[np.float32]
    kind: NDArray[np.int64]
    angle: NDArray[np.float32]
    squash: NDArray[np.float32]
    jitter: NDArray[np.float32]


def _fall(count: int, height: int, width: int, random: np.random.Generator) -> _Leaves:
    """Draw the leaves that touch each image: of larger ones more, for their centres may lie further outside."""
    images, radii = [], []
    for index in range(count):
        smallest = np.exp(random.uniform(0, np.log(10)))
        edges = np.exp(np.linspace(np.log(smallest), np.log(_LARGEST), 65))
        middle = np.sqrt(edges[1:] * edges[:-1])
        # Leaves per unit of area, of density 1 / r^3, scaled so that their areas add up to _LAYERS.
        density = 0.5 * (edges[:-1] ** -2 - edges[1:] ** -2)
        density *= _LAYERS / (np.pi * _AREA * (density * middle**2).sum())
        number = random.poisson(density * (height + 2 * middle) * (width + 2 * middle))
        low = np.repeat(edges[:-1], number)
        high = np.repeat(edges[1:], number)
        radii.append((low**-2 + (high**-2 - low**-2) * random.random(len(low))) ** -0.5)
        images.append(np.full(len(low), index))
    image, radius = np.concatenate(images), np.concatenate(radii)
    order = random.permutation(len(radius))
    image, radius = image[order], radius[order]
    reach = np.stack([height + 2 * radius, width + 2 * radius], 1)
    centre = random.random((len(radius), 2)) * reach - radius[:, None]
    n = len(radius)
    return _Leaves(
        image,
        (_FINE * radius).astype(np.float32),
        (_FINE * centre).astype(np.float32),
        random.integers(0, len(_SIDES), n),
        random.uniform(0, 2 * np.pi, n).astype(np.float32),
        random.uniform(*_SQUASH, n).astype(np.float32),
        random.uniform(-0.35, 0.35, (n, max(_SIDES))).astype(np.float32),
    )


_SQUASH = (0.4, 1.0)
_AREA = 0.485
"""Mean area of a leaf over that of the disk of its radius, counted from drawn ones."""


def _visible(leaves: _Leaves, count: int, height: int, width: int) -> NDArray[np.int32]:
    """Index of the leaf seen at each fine pixel: int32 (count, height, width); n + i where image i is bare."""
    n = len(leaves.radius)
    front = np.repeat(np.arange(n, n + count, dtype=np.int32), height * width)
    size = np.ceil(np.log2(2 * leaves.radius + 1)).astype(int)
    for kind in range(len(_SIDES)):
        for level in np.unique(size):
            chosen = np.flatnonzero((leaves.kind == kind) & (size == level))
            side = 2 ** int(level)
            step = max(1, _AT_ONCE // min(side**2, height * width))
            for start in range(0, len(chosen), step):
                _drop(leaves, chosen[start : start + step], _SIDES[kind], side, front, height, width)
    return front.reshape(count, height, width)


def _drop(
    leaves: _Leaves, chosen: NDArray[np.int64], sides: int, side: int, front: NDArray[np.int32], height: int, width: int
) -> None:
    """Lower `front` to each of the `chosen` leaves where it lies; all fit in boxes of `side` pixels, or else the whole
    image is looked through.
    """
    if side**2 > height * width:
        rows = np.broadcast_to(np.arange(height), (len(chosen), height))
        columns = np.broadcast_to(np.arange(width), (len(chosen), width))
    else:
        corner = np.floor(leaves.centre[chosen] - side / 2 + 0.5).astype(np.int64)
        rows, columns = corner[:, :1] + np.arange(side), corner[:, 1:] + np.arange(side)
    radius = leaves.radius[chosen, None]
    y = ((rows - leaves.centre[chosen, :1] + 0.5) / radius).astype(np.float32)[:, :, None]
    x = ((columns - leaves.centre[chosen, 1:] + 0.5) / radius).astype(np.float32)[:, None, :]
    angle, squash = leaves.angle[chosen, None, None], leaves.squash[chosen, None, None]
    cosine, sine = np.cos(angle), np.sin(angle)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    if sides == 0:
        inside &= (cosine * x + sine * y) ** 2 + ((cosine * y - sine * x) / squash) ** 2 <= 1
    else:
        # Corners that stick out of the disk are cut off round: the box is no larger than the disk.
        inside &= x * x + y * y <= 1
        for k in range(sides):
            turn = (2 * np.pi * k / sides + leaves.jitter[chosen, k])[:, None, None]
            across, along = np.cos(turn), np.sin(turn) / squash
            # The half-plane in the leaf's own frame, turned back: one multiplication for each of x and y.
            inside &= (across * cosine - along * sine) * x + (across * sine + along * cosine) * y <= np.float32(0.7)
    leaf, row, column = np.nonzero(inside)
    place = (leaves.image[chosen[leaf]] * height + rows[leaf, row]) * width + columns[leaf, column]
    np.minimum.at(front, place, chosen[leaf].astype(np.int32))


def _shade(leaves: _Leaves, front: NDArray[np.int32], random: np.random.Generator) -> Tensor:
    """Colour each fine pixel by its leaf: float32 (count, 3, rows, columns), not yet clipped."""
    count, height, width = front.shape
    n = len(leaves.radius) + count
    materials = draw_materials(np.concatenate([leaves.image, np.arange(count)]), random)
    radius = np.concatenate([leaves.radius, np.full(count, 2 * _LARGEST, np.float32)])
    centre = np.concatenate([leaves.centre, np.zeros((count, 2), np.float32)])
    # Shading: a slope across the leaf.
    slope = random.normal(0, 0.12, (n, 2)) / radius[:, None] * (random.random((n, 1)) < 0.6)
    level = -(slope * centre).sum(1)
    # Texture: each leaf mixes fine, middle and coarse noise in shares of its own.
    share = random.dirichlet((0.6, 0.6, 0.6), n) ** 0.5 * materials.rough[:, None]
    # A grating on every eighth leaf, of 3 to 16 pixels a period.
    period = _FINE * np.exp(random.uniform(np.log(3), np.log(16), n))
    heading = random.uniform(0, 2 * np.pi, n)
    wave = 2 * np.pi / period[:, None] * np.stack([np.sin(heading), np.cos(heading)], 1)
    strength = random.uniform(0.05, 0.45, n) * (random.random(n) < 0.125)
    phase = random.uniform(0, 2 * np.pi, n)
    table = np.column_stack([materials.colour, slope, level, share, wave, phase, strength]).astype(np.float32)
    noise = _textures(count, height, width, random)
    y = torch.arange(height, dtype=torch.float32)[:, None]
    x = torch.arange(width, dtype=torch.float32)
    images = []
    for i in range(count):
        seen = torch.from_numpy(front[i].reshape(-1))
        # One image at a time keeps the table's rows in the cache.
        p = torch.from_numpy(table).index_select(0, seen.long()).T.reshape(-1, height, width)
        light = 1 + p[3] * y + p[4] * x + p[5]
        light += p[6] * noise[i, 0] + p[7] * noise[i, 1] + p[8] * noise[i, 2]
        light += p[12] * torch.sin(p[9] * y + p[10] * x + p[11])
        images.append(p[:3] * light)
    return torch.stack(images)


def _textures(count: int, height: int, width: int, random: np.random.Generator) -> Tensor:
    """Gaussian fields of unit spread, fine, middle and coarse: float32 (count, 3, height, width)."""

    def grains(scale: int) -> Tensor:
        rows, columns = -(-height // scale) + 2, -(-width // scale) + 2
        values = torch.from_numpy(random.standard_normal((count, 1, rows, columns), np.float32))
        if scale > 1:
            values = F.interpolate(values, scale_factor=scale, mode="bilinear", align_corners=False)
        return values[:, :, scale : scale + height, scale : scale + width]

    # Bilinear interpolation between independent values keeps 4/9 of their variance.
    fine = 1.5 * grains(2)
    middle = 1.5 * (grains(4) + grains(8)) / 2**0.5
    coarse = 1.5 * (grains(8) + grains(16) + 2 * grains(32)) / 6**0.5
    return torch.cat([fine, middle, coarse], 1)


def _focus(image: Tensor, front: NDArray[np.int32], leaves: int, random: np.random.Generator) -> Tensor:
    """Put the lower leaves of some images out of focus, and blur all a little: sigma 0 to 0.8 pixels."""
    result = []
    for i, one in enumerate(image.split(1)):
        if random.random() < 0.3:
            near = torch.from_numpy(front[i] < leaves * random.uniform(0.02, 0.3)).float()
            near = F.avg_pool2d(near[None, None], _FINE)
            one = near * one + (1 - near) * _blurred(one, random.uniform(1, 4))
        result.append(_blurred(one, random.uniform(0, 0.8)))
    return torch.cat(result)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """`image` (1, 3, H, W) under a gaussian of `sigma` pixels, its border repeated."""
    reach = int(3 * sigma + 0.5)
    if reach < 1:
        return image
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float32) / sigma) ** 2)
    weights /= weights.sum()
    padded = F.pad(image, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, weights.reshape(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)
    return F.conv2d(rows, weights.reshape(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)


class LeafPool:
    """Crops of a store of dead-leaves images, for a training that would wait for fresh ones.

    Args:
        plates: how many images are made, once.
        side: their height and width in pixels.
        seed: as for `dead_leaves`.

    Holds 3 * plates * side^2 bytes: values are kept in 8 bits.
    """

    def __init__(self, plates: int = 64, side: int = 384, *, seed: int) -> None:
        # A plate at a time: the rendering of many holds much more than they do.
        made = [dead_leaves(1, side, side, seed=seed * plates + i) for i in range(plates)]
        self.plates = torch.cat([(plate * 255).round().to(torch.uint8) for plate in made])

    def draw(self, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Cut `count` crops at random, mirrored, turned, and their tone changed: float32 (count, 3, height, width).

        Raises:
            InputError: a crop is larger than the plates.
        """
        side = self.plates.shape[-1]
        if max(height, width) > side:
            raise InputError(f"a crop of {height} x {width} is larger than the plates of {side} x {side}")

        def integer(below: int) -> int:
            return int(torch.randint(below, (1,), generator=generator))

        crops = []
        for _ in range(count):
            plate = self.plates[integer(len(self.plates))]
            if integer(2):
                plate = plate.transpose(1, 2)
            top, left = integer(side - height + 1), integer(side - width + 1)
            crop = plate[:, top : top + height, left : left + width].float() / 255
            crop = crop.flip([axis for axis in (1, 2) if integer(2)])
            # Swapping channels would undo the colours' prior; exposure doesn't.
            gain = 0.7 + 0.5 * float(torch.rand((), generator=generator))
            crops.append((crop * gain).clamp(0, 1))
        return torch.stack(crops)
