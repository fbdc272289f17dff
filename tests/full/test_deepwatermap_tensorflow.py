"""The published network with random weights in TensorFlow, saved, imported, and compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from narrows.cli.import_deepwatermap import command
from narrows.errors import InputError
from narrows.networks.deepwatermap import AsPublished, SameConvNorm, deepwatermap_v2

pytestmark = pytest.mark.full
tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed (.ci/full installs it)")
pytest.importorskip("tf_keras", reason="Keras 2 (tf_keras) is not installed (.ci/full installs it)")

import published_deepwatermap as published  # noqa: E402  (needs what is skipped for above)

SIZES = [(128, 128), (96, 64), (127, 101), (93, 120), (65, 33), (33, 17), (13, 31)]


@pytest.fixture(scope="module", params=["simulated", "real"])
def chip(request):
    """Digital numbers (128, 128, 6), int16."""
    if request.param == "real":
        folder = request.getfixturevalue("shared_data")
        return np.load(folder / "water306" / "hls306_6band.npz")["img"][12].transpose(1, 2, 0)
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:128, :128]
    lake = (np.hypot(rows - 60, columns - 70) < 35)[..., None]
    land, water = np.array([500, 900, 1100, 2800, 2200, 1500]), np.array([600, 700, 500, 250, 120, 80])
    return (np.where(lake, water, land) + rng.normal(0, 60, (128, 128, 6))).astype(np.int16)


@pytest.fixture(scope="module")
def pair(chip, tmp_path_factory):
    """The published network in Keras, its checkpoint, and the imported network."""
    folder = tmp_path_factory.mktemp("checkpoints")
    keras_network = published.published_network()
    image = published.scaled(chip)
    published.randomise(keras_network, image, seed=7)
    published.train_and_save(keras_network, folder, image)
    done = CliRunner().invoke(command, [str(folder / "cp.001.ckpt"), "-o", str(folder / "weights.safetensors")])
    assert done.exit_code == 0, done.output
    network = deepwatermap_v2()
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    return keras_network, folder, network.eval()


def as_tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32))


def test_parameters_are_counted_as_published(pair):
    keras_network, _, network = pair
    assert keras_network.count_params() == 37_211_056
    assert sum(p.numel() for p in network.parameters()) == sum(
        int(np.prod(weight.shape)) for weight in keras_network.trainable_weights
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_probability_agrees(pair, chip, size):
    keras_network, _, network = pair
    image = published.scaled(chip)[: size[0], : size[1]]
    expected = published.predict(keras_network, image)
    with torch.inference_mode():
        given = network(as_tensor(image))
    assert given.shape == (1, 1, *size)
    assert np.abs(given[0, 0].numpy() - expected).max() <= 1e-5
    assert expected.std() > 0.02  # saturated or constant probabilities would agree whatever the weights


@pytest.mark.parametrize("size", [(48, 80), (16, 112)])
def test_multiples_of_16_run_unpadded(pair, chip, size):
    keras_network, _, network = pair
    image = published.scaled(chip)[: size[0], : size[1]]
    expected = keras_network.predict(image[None], verbose=0)[0, ..., 0]
    with torch.inference_mode():
        assert np.abs(network(as_tensor(image))[0, 0].numpy() - expected).max() <= 1e-5


@pytest.mark.parametrize("size", [*SIZES, (48, 80)])
def test_the_authors_inference_agrees(pair, chip, size):
    keras_network, _, network = pair
    image = chip[: size[0], : size[1]].astype(np.float32)
    image[3, 5, 2] = np.nan
    image[4, 4, 0] = np.inf
    expected = published.sharpened(published.predict(keras_network, published.scaled(image)))
    finite = np.where(np.isfinite(image), image, 0)
    with torch.inference_mode():
        given = AsPublished(network, finite.min(), finite.max())(as_tensor(image))
    # The sharpening is up to four times as steep as what it sharpens.
    assert np.abs(given[0, 0].numpy() - expected).max() <= 4e-5


@pytest.mark.parametrize("size", [(1, 2), (5, 4), (7, 9), (8, 8), (31, 16)])
def test_same_padding_is_tensorflows_at_every_size(size):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, *size, 3)).astype(np.float32)
    kernel = rng.normal(size=(5, 5, 3, 4)).astype(np.float32)
    layer = SameConvNorm(3, 4, 5, stride=2, relu=False).eval()
    layer.convolution.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    expected = tf.nn.conv2d(image, kernel, 2, "SAME").numpy() / np.sqrt(1 + 1e-3)
    with torch.inference_mode():
        given = layer(torch.from_numpy(image.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(given.transpose(0, 2, 3, 1), expected, rtol=1e-5, atol=1e-5)


def test_the_checkpoint_can_be_named_in_several_ways(pair, tmp_path):
    _, folder, network = pair
    for place, name in enumerate(["cp.001.ckpt.index", "cp.001.ckpt.data-00000-of-00001", ""]):
        output = tmp_path / f"{place}.safetensors"
        done = CliRunner().invoke(command, [str(folder / name), "-o", str(output)])
        assert done.exit_code == 0, done.output
        assert torch.equal(load_file(output)["head.convolution.weight"], network.head.convolution.weight)


def test_another_networks_checkpoint_is_refused(tmp_path):
    keras = published.keras
    inputs = keras.layers.Input((8, 8, 6))
    keras.Model(inputs, keras.layers.Conv2D(5, 1, use_bias=False)(inputs)).save_weights(tmp_path / "other.ckpt")
    with pytest.raises(
        InputError, match=r"layer_with_weights-0/kernel is 1 x 1 x 6 x 5, the network needs 1 x 1 x 6 x 4"
    ):
        CliRunner().invoke(
            command, [str(tmp_path / "other.ckpt"), "-o", str(tmp_path / "w.safetensors")], catch_exceptions=False
        )
    assert not list(tmp_path.glob("*w*safetensors"))


def test_a_damaged_checkpoint_is_refused(pair, tmp_path):
    _, folder, _ = pair
    (tmp_path / "cp.ckpt.index").write_bytes((folder / "cp.001.ckpt.index").read_bytes()[:-100])
    (tmp_path / "cp.ckpt.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(InputError, match="can't read it"):
        CliRunner().invoke(
            command, [str(tmp_path / "cp.ckpt"), "-o", str(tmp_path / "w.safetensors")], catch_exceptions=False
        )
