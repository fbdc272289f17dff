"""The networks that come with the package, as the command runs them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from array_scene import ArrayScene
from safetensors.torch import save_file

from narrows.errors import InputError
from narrows.networks.deepwatermap import AsPublished, deepwatermap_v2
from narrows.water import MapOptions
from narrows.water.framing import Inner
from narrows.water.mapping import MapWindow, find_window, run_map
from narrows.water.network import WaterNetwork, deepwatermap, default_network


class Array:
    def __init__(self, height: int, width: int):
        self.array = np.zeros((height, width), np.uint8)

    def write(self, start: int, rows: np.ndarray) -> None:
        self.array[start : start + rows.shape[1]] = rows[0]


def percent_and_mask(scene: ArrayScene, network: WaterNetwork, **options: object) -> tuple[np.ndarray, np.ndarray]:
    window = MapWindow(scene, Inner(0, 0, scene.height, scene.width), None)  # type: ignore[arg-type]
    mask, percent = Array(scene.height, scene.width), Array(scene.height, scene.width)
    run_map(window, network, MapOptions(**options), mask, probability=percent)  # type: ignore[arg-type]
    return percent.array, mask.array


def speckle(height: int, width: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (
        (generator.random((6, height // 4 + 1, width // 4 + 1)) * 0.4)
        .astype(np.float32)
        .repeat(4, 1)
        .repeat(4, 2)[:, :height, :width]
    )


def test_deepwatermap_as_its_authors_run_it(tmp_path):
    torch.manual_seed(1)
    network = deepwatermap_v2()
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(2, 6, 64, 64))  # batch statistics that aren't those of a fresh layer
    network.eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    bands = speckle(70, 53)
    counts = bands * 10_000
    with torch.no_grad():
        published = AsPublished(network, counts.min(), counts.max())(torch.from_numpy(counts)[None])[0, 0].numpy()
    percent, mask = percent_and_mask(ArrayScene(bands), deepwatermap(tmp_path / "w.safetensors"), threshold=0.5)
    assert np.abs(percent - published * 100).max() < 0.6
    clear = np.abs(published - 0.5) > 1e-4
    np.testing.assert_array_equal(mask[clear], (published >= 0.5)[clear])
    with pytest.raises(InputError, match="--weights"):
        deepwatermap(tmp_path / "none.safetensors")


def test_the_default_network_streams_as_it_runs_whole():
    network = default_network()
    bands = speckle(90, 75, seed=5)
    scene = ArrayScene(bands, origin=(3, 6))
    framing = network.framing(90, 75, scene.grid_origin)
    image = bands[:, framing.rows(0, framing.shape[0])][:, :, framing.columns()]
    with torch.no_grad():
        whole = network.module(torch.from_numpy(image)[None])[0, 0].numpy()
    expected = whole[framing.top : framing.top + 90, framing.left : framing.left + 75]
    percent, mask = percent_and_mask(scene, network)
    assert np.abs(percent - expected * 100).max() < 0.51
    clear = np.abs(expected - 0.5) > 1e-5
    np.testing.assert_array_equal(mask[clear], (expected >= 0.5)[clear])


def test_the_default_network_tells_what_clouds_hide():
    network = default_network(hidden=True)
    bands = speckle(64, 64)
    bands[:, :40, :40] = np.array([0.55, 0.54, 0.54, 0.56, 0.50, 0.40], np.float32)[:, None, None]
    _, mask = percent_and_mask(ArrayScene(bands), network, clouds="network")
    framing = network.framing(64, 64, ArrayScene(bands).grid_origin)
    image = bands[:, framing.rows(0, framing.shape[0])][:, :, framing.columns()]
    with torch.no_grad():
        said = network.module(torch.from_numpy(image)[None])[0].numpy()
    water, hidden = said[:, framing.top : framing.top + 64, framing.left : framing.left + 64]
    clear = (np.abs(hidden - 0.5) > 1e-5) & (np.abs(water - 0.7) > 1e-5)
    np.testing.assert_array_equal((mask == 254)[clear], ((hidden >= 0.5) & (water < 0.7))[clear])


def test_what_the_default_network_reaches_is_read_around_an_area():
    network = default_network()
    down, across = network.reach()
    assert 8 < down < 200
    assert across >= down
    scene = ArrayScene(speckle(420, 700, seed=2))
    place = scene.transform
    box = f"{place.c + 30 * 320},{place.f - 30 * 220},{place.c + 30 * 380},{place.f - 30 * 190}"
    window = find_window(scene, network, box)  # type: ignore[arg-type]
    part, whole = Array(30, 60), Array(420, 700)
    run_map(window, network, MapOptions(aoi=box), Array(30, 60), probability=part)
    everything = MapWindow(scene, Inner(0, 0, 420, 700), None)  # type: ignore[arg-type]
    run_map(everything, network, MapOptions(), Array(420, 700), probability=whole)
    np.testing.assert_array_equal(part.array, whole.array[190:220, 320:380])


def test_who_can_do_without_shortwave_infrared():
    scene = ArrayScene(speckle(40, 40))
    scene.lacks = ("swir1", "swir2")
    needing = WaterNetwork("n", torch.nn.Identity(), "logits", "0")
    with pytest.raises(InputError, match="array: has no swir1 and swir2, which the network n needs") as refused:
        find_window(scene, needing, None)  # type: ignore[arg-type]
    assert "what can do without is water or water-small or one of your own" in str(refused.value)
    for hidden in (False, True):
        network = default_network("water-small", hidden=hidden)
        assert network.without_swir
        assert find_window(scene, network, None).scene is scene  # type: ignore[arg-type]
