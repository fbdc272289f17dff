"""What the imaging core is trained for: how each task spoils a clean image, and in which planes the core sees it.

Every task fills the same six input planes, so that one topology serves them all; a plane that a task has no use for is
zero. A task's *condition* is what is known of the fault besides the pixels, such as the noise's sigma: it is drawn for
each image in training, fixed in a test, and told by whoever has an image to repair. Values are display values (sRGB as
stored) from 0 to 1, except that noise is not clipped.

| task | planes 0, 1, 2 | 3 | 4 | 5 | target |
|---|---|---|---|---|---|
| denoise | noisy grey, 0, 0 | 0 | 0 | sigma | grey |
| denoise-colour | noisy red, green, blue | 0 | 0 | sigma | colour |
| denoise-sensor | noisy red, green, blue | mean of the three planes' expected spread | 0 | read noise | colour |
| deblur-gaussian | blurred red, green, blue | 0 | 0 | sigma of the blur / 4 | colour |
| deblur-motion | blurred red, green, blue | (length / 16) cos 2a | (length / 16) sin 2a | length / 16 | colour |
| colourise | grey, 0, 0 | 0 | 0 | 0 | colour |
| demosaic | red, green, blue where measured, else 0 | row's parity | column's parity | mosaic | colour |

Sigma and read noise are divided by 255 in their planes. Sensor noise is the photons' and the amplifier's (Foi,
Trimeche, Katkovnik, Egiazarian, IEEE TIP 2008): y = g Poisson(x / g) + n, n normal with the read noise's spread, where
values are taken to be proportional to the light, as a raw image's are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from narrows.errors import InputError
from narrows.imaging.palette import LUMA

__all__ = ["INPUT_PLANES", "TASKS", "Condition", "Parameter", "Task", "grey", "task_called"]

INPUT_PLANES = 6

Condition = Mapping[str, float | Tensor]
"""Values of a task's parameters: one for all images, or a tensor (N,) with one for each."""


def grey(image: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of red, green, blue (N, 3, H, W); what has one channel already stays as it is."""
    if image.shape[1] == 1:
        return image
    weights = torch.tensor(LUMA, dtype=image.dtype, device=image.device)
    return (image * weights[:, None, None]).sum(1, keepdim=True)


@dataclass(frozen=True)
class Parameter:
    """One thing known of the fault.

    Attributes:
        name: as in a condition, and as the option of `narrows enhance`.
        unit: in words.
        low, high: it is drawn uniformly between them in training.
    """

    name: str
    unit: str
    low: float
    high: float


class Task(ABC):
    """One fault and its repair.

    Attributes:
        name: as `narrows enhance --task` takes it.
        title: what it does, for a person.
        takes: channels of the image that is to be repaired: 1 (grey, or a mosaic) or 3.
        gives: channels of the repaired image, K.
        parameters: of its condition.
        tests: the conditions under which it is evaluated, by name.
        estimable: whether its parameter, the spread of white noise, can be estimated from an image.
        grey_too: whether it repairs a grey image given as three equal channels.
        instead: the advice for an image of the other kind, put after "takes a grey one" or "takes a colour one".
    """

    name: str
    title: str
    takes: int
    gives: int
    parameters: tuple[Parameter, ...] = ()
    tests: Mapping[str, Mapping[str, float]] = {"": {}}
    estimable: bool = False
    grey_too: bool = False
    instead: str = ""

    @abstractmethod
    def observe(self, clean: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        """Spoil `clean` (N, 3, H, W), 0 to 1, with the fault of `condition`: float (N, takes, H, W)."""

    @abstractmethod
    def planes(self, observed: Tensor, condition: Condition, *, row: int = 0) -> Tensor:
        """Set the core's input (N, 6, H, W) from a spoilt image (N, takes, H, W) whose first row is `row`."""

    def target(self, clean: Tensor) -> Tensor:
        """What the repair of `clean` (N, 3, H, W) should give: (N, gives, H, W)."""
        return grey(clean) if self.gives == 1 else clean

    def draw(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """A condition for each of `count` images, uniform between each parameter's ends."""
        drawn = {}
        for parameter in self.parameters:
            share = torch.rand(count, generator=generator, device=generator.device)
            drawn[parameter.name] = parameter.low + (parameter.high - parameter.low) * share
        return drawn

    def degrade(
        self, clean: Tensor, generator: torch.Generator, *, condition: Condition | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spoil clean images for training or a test.

        Args:
            clean: (N, 3, H, W), 0 to 1.
            generator: of the condition and the noise, on `clean`'s device.
            condition: drawn for each image if left out.

        Returns:
            The core's inputs (N, 6, H, W) and the target (N, gives, H, W).
        """
        if condition is None:
            condition = self.draw(len(clean), generator)
        return self.planes(self.observe(clean, condition, generator), condition), self.target(clean)


def task_called(name: str) -> Task:
    """The task of this name.

    Raises:
        InputError: there is none.
    """
    if name not in TASKS:
        raise InputError(f"there is no task called {name}; there are {', '.join(TASKS)}")
    return TASKS[name]


def _each(value: float | Tensor, like: Tensor) -> Tensor:
    """A parameter's value as (N or 1, 1, 1, 1)."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, 1, 1, 1)


def _assembled(like: Tensor, parts: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Six planes as large as `like`, the named ones filled, the others zero."""
    planes = like.new_zeros((len(like), INPUT_PLANES, *like.shape[2:]))
    for first, part in parts:
        planes[:, first : first + part.shape[1]] = part
    return planes


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


class _Denoise(Task):
    parameters = (Parameter("sigma", "spread of the noise, in 255ths of white", 2.0, 60.0),)
    tests = {f"sigma {sigma}": {"sigma": float(sigma)} for sigma in (15, 25, 50)}  # noqa: RUF012
    estimable = True

    def __init__(self, name: str, title: str, channels: int, other: str) -> None:
        self.name, self.title, self.takes, self.gives = name, title, channels, channels
        self.instead = f"; use {other}"

    def observe(self, clean: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        seen = self.target(clean)
        return seen + _each(condition["sigma"], seen) / 255 * _normal(seen, generator)

    def planes(self, observed: Tensor, condition: Condition, *, row: int = 0) -> Tensor:
        return _assembled(observed, [(0, observed), (5, _each(condition["sigma"], observed) / 255)])


class _DenoiseSensor(Task):
    name, title, takes, gives = "denoise-sensor", "remove a sensor's photon and read noise", 3, 3
    parameters = (
        Parameter("gain", "white over the photons counted at white", 0.001, 0.04),
        Parameter("read", "spread of the read noise, in 255ths of white", 0.5, 12.0),
    )
    tests = {  # noqa: RUF012
        "bright": {"gain": 0.002, "read": 1.0},
        "dim": {"gain": 0.01, "read": 3.0},
        "dark": {"gain": 0.03, "read": 8.0},
    }

    def observe(self, clean: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        gain, read = _each(condition["gain"], clean), _each(condition["read"], clean) / 255
        counted = torch.poisson(clean.clamp(min=0) / gain, generator=generator)
        return gain * counted + read * _normal(clean, generator)

    def planes(self, observed: Tensor, condition: Condition, *, row: int = 0) -> Tensor:
        gain, read = _each(condition["gain"], observed), _each(condition["read"], observed) / 255
        spread = (gain * observed.clamp(min=0) + read**2).sqrt().mean(1, keepdim=True)
        return _assembled(observed, [(0, observed), (3, spread), (5, read)])


BLUR_NOISE = 2 / 255
"""Spread of the noise over a blurred image; without any, a blur could simply be divided out."""


class _DeblurGaussian(Task):
    name, title, takes, gives = "deblur-gaussian", "sharpen an image out of focus (gaussian blur)", 3, 3
    parameters = (Parameter("sigma", "the blur's sigma, in pixels", 0.6, 2.6),)
    tests = {f"sigma {sigma}": {"sigma": sigma} for sigma in (1.0, 1.6, 2.4)}  # noqa: RUF012
    grey_too = True
    reach = 9

    def kernels(self, condition: Condition, like: Tensor) -> Tensor:
        """The blurs (N or 1, 19, 19) of `condition`, each of sum 1."""
        steps = torch.arange(-self.reach, self.reach + 1, dtype=like.dtype, device=like.device)
        line = torch.exp(-0.5 * (steps / _each(condition["sigma"], like)[:, 0, 0]) ** 2)
        line = line / line.sum(1, keepdim=True)
        return line[:, :, None] * line[:, None, :]

    def observe(self, clean: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        return _blurred(clean, self.kernels(condition, clean)) + BLUR_NOISE * _normal(clean, generator)

    def planes(self, observed: Tensor, condition: Condition, *, row: int = 0) -> Tensor:
        return _assembled(observed, [(0, observed), (5, _each(condition["sigma"], observed) / 4)])


class _DeblurMotion(Task):
    name, title, takes, gives = "deblur-motion", "sharpen an image blurred by motion along a line", 3, 3
    parameters = (
        Parameter("length", "of the motion, in pixels", 1.0, 16.0),
        Parameter("angle", "of the motion, in degrees from the rows, upward to the right", 0.0, 180.0),
    )
    tests = {f"{angle} degrees": {"length": 9.0, "angle": float(angle)} for angle in (0, 45, 90)}  # noqa: RUF012
    grey_too = True
    reach = 9

    def kernels(self, condition: Condition, like: Tensor) -> Tensor:
        """The motions (N or 1, 19, 19) of `condition`, each of sum 1: a line, a pixel wide, with soft edges."""
        steps = torch.arange(-self.reach, self.reach + 1, dtype=like.dtype, device=like.device)
        length = _each(condition["length"], like)[:, 0]
        angle = torch.deg2rad(_each(condition["angle"], like))[:, 0]
        y, x = -steps[:, None], steps
        along = (x * angle.cos() + y * angle.sin()).abs()
        across = (y * angle.cos() - x * angle.sin()).abs()
        line = (length / 2 + 0.5 - along).clamp(0, 1) * (1 - across).clamp(0, 1)
        return line / line.sum((1, 2), keepdim=True)

    def observe(self, clean: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        return _blurred(clean, self.kernels(condition, clean)) + BLUR_NOISE * _normal(clean, generator)

    def planes(self, observed: Tensor, condition: Condition, *, row: int = 0) -> Tensor:
        length = _each(condition["length"], observed) / 16
        # A motion and its reverse blur alike: twice the angle tells all that there is to tell.
        double = 2 * torch.deg2rad(_each(condition["angle"], observed))
        parts = [(0, observed), (3, length * double.cos()), (4, length * double.sin()), (5, length)]
        return _assembled(observed, parts)


class _Colourise(Task):
    name, title, takes, gives = "colourise", "colour a grey image", 1, 3

    def observe(self, clean: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        return grey(clean)

    def planes(self, observed: Tensor, condition: Condition, *, row: int = 0) -> Tensor:
        return _assembled(observed, [(0, observed)])


class _Demosaic(Task):
    name, title, takes, gives = "demosaic", "make colours of a Bayer mosaic (RGGB)", 1, 3

    def observe(self, clean: Tensor, condition: Condition, generator: torch.Generator) -> Tensor:
        odd_row, odd_column = _parities(clean, 0)
        # Red where both are even, blue where both are odd, green elsewhere.
        colour = (odd_row + odd_column).long().expand(len(clean), 1, -1, -1)
        return clean.gather(1, colour)

    def planes(self, observed: Tensor, condition: Condition, *, row: int = 0) -> Tensor:
        odd_row, odd_column = _parities(observed, row)
        red, blue = (1 - odd_row) * (1 - odd_column), odd_row * odd_column
        sites = torch.cat([red, 1 - red - blue, blue], 1)
        return _assembled(observed, [(0, observed * sites), (3, odd_row), (4, odd_column), (5, observed)])


def _parities(like: Tensor, row: int) -> tuple[Tensor, Tensor]:
    """1 on odd rows, 0 on even ones, and the same for columns: (1, 1, H, W) each."""
    height, width = like.shape[2:]
    rows = (torch.arange(row, row + height, device=like.device) % 2).to(like.dtype)
    columns = (torch.arange(width, device=like.device) % 2).to(like.dtype)
    return rows[None, None, :, None].expand(1, 1, height, width), columns.expand(1, 1, height, width)


def _blurred(image: Tensor, kernels: Tensor) -> Tensor:
    """`image` (N, C, H, W) under a kernel for each image or one for all; beyond the border its last pixel."""
    n, channels, height, width = image.shape
    reach = kernels.shape[-1] // 2
    padded = F.pad(image, (reach,) * 4, mode="replicate")
    weights = kernels.expand(n, -1, -1)[:, None].repeat_interleave(channels, 0)
    # conv2d correlates; the kernels here are symmetric about their centre, so that is the same.
    result = F.conv2d(padded.reshape(1, n * channels, *padded.shape[2:]), weights, groups=n * channels)
    return result.reshape(n, channels, height, width)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _Denoise("denoise", "remove gaussian noise from a grey image", 1, "denoise-colour"),
        _Denoise("denoise-colour", "remove gaussian noise from a colour image", 3, "denoise"),
        _DenoiseSensor(),
        _DeblurGaussian(),
        _DeblurMotion(),
        _Colourise(),
        _Demosaic(),
    )
}
"""Every task by its name."""
