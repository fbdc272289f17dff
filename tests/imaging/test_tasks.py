from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from narrows.errors import InputError
from narrows.imaging.tasks import TASKS, grey, task_called


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    return torch.rand(3, 3, 41, 53, generator=generator())


@pytest.mark.parametrize("name", TASKS)
def test_gives_six_planes_and_the_target_at_the_same_size(name: str, clean: torch.Tensor) -> None:
    task = TASKS[name]
    inputs, target = task.degrade(clean, generator())
    assert task.name == name
    assert inputs.shape == (3, 6, 41, 53)
    assert inputs.dtype == torch.float32
    assert torch.equal(target, grey(clean) if task.gives == 1 else clean)
    again, _ = task.degrade(clean, generator())
    assert torch.equal(inputs, again)
    if task.parameters:
        assert not torch.equal(inputs, task.degrade(clean, generator(1))[0])


@pytest.mark.parametrize("name", TASKS)
def test_planes_of_rows_are_rows_of_the_planes(name: str, clean: torch.Tensor) -> None:
    task = TASKS[name]
    condition = dict(next(iter(task.tests.values())))
    observed = task.observe(clean, condition, generator())
    whole = task.planes(observed, condition)
    parts = [task.planes(observed[:, :, a : a + 7], condition, row=a) for a in range(0, 41, 7)]
    assert torch.equal(torch.cat(parts, 2), whole)


@pytest.mark.parametrize("name", ["denoise", "denoise-colour"])
def test_gaussian_noise_has_the_spread_that_its_plane_says(name: str) -> None:
    clean = torch.full((2, 3, 200, 200), 0.5)
    inputs, target = TASKS[name].degrade(clean, generator(), condition={"sigma": torch.tensor([15.0, 50.0])})
    noise = inputs[:, : target.shape[1]] - target
    assert torch.allclose(noise.std((1, 2, 3)), torch.tensor([15.0, 50.0]) / 255, rtol=0.02)
    assert torch.allclose(inputs[:, 5].amax((1, 2)), torch.tensor([15.0, 50.0]) / 255)


def test_sensor_noise_has_the_variance_of_photons_and_read_noise() -> None:
    task = TASKS["denoise-sensor"]
    for level in (0.1, 0.8):
        clean = torch.full((1, 3, 300, 300), level)
        observed = task.observe(clean, {"gain": 0.01, "read": 5.0}, generator())
        assert float(observed.mean()) == pytest.approx(level, rel=0.01)
        assert float(observed.var()) == pytest.approx(0.01 * level + (5 / 255) ** 2, rel=0.02)


def test_gaussian_blur_is_scipys(clean: torch.Tensor) -> None:
    task = TASKS["deblur-gaussian"]
    inputs, _ = task.degrade(clean[:1], generator(), condition={"sigma": 1.6})
    expected = ndimage.gaussian_filter(clean[0].numpy(), (0, 1.6, 1.6), mode="nearest", radius=(0, 9, 9))
    assert np.std(inputs[0, :3].numpy() - expected) == pytest.approx(2 / 255, rel=0.03)


def test_motion_blurs_along_its_angle() -> None:
    task = TASKS["deblur-motion"]
    dot = torch.zeros(1, 3, 31, 31)
    dot[:, :, 15, 15] = 1
    for angle, along in ((0, (0, 1)), (90, (1, 0)), (45, (-1, 1))):
        kernel = task.kernels({"length": 9.0, "angle": float(angle)}, dot)[0]  # type: ignore[attr-defined]
        assert float(kernel.sum()) == pytest.approx(1)
        assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-6)
        rows, columns = np.nonzero(kernel.numpy() > 0.04)
        assert len(rows) >= 7
        assert np.all((rows - 9) * along[1] == (columns - 9) * along[0])


def test_a_mosaic_holds_each_pixels_own_colour(clean: torch.Tensor) -> None:
    inputs, _ = TASKS["demosaic"].degrade(clean, generator())
    red, green, blue = clean.unbind(1)
    mosaic = inputs[:, 5]
    assert torch.equal(mosaic[:, ::2, ::2], red[:, ::2, ::2])
    assert torch.equal(mosaic[:, ::2, 1::2], green[:, ::2, 1::2])
    assert torch.equal(mosaic[:, 1::2, ::2], green[:, 1::2, ::2])
    assert torch.equal(mosaic[:, 1::2, 1::2], blue[:, 1::2, 1::2])
    assert torch.equal(inputs[:, :3].sum(1), mosaic)


def test_an_unknown_task_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"no task called dnoise; there are denoise, denoise-colour"):
        task_called("dnoise")
