"""DeepWaterMapV2 as it was published, in Keras 2, the way its authors prepare a scene, and how their trainer saves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

WIDTHS = (4, 16, 64, 256, 1024)


def _convolution(x, filters: int, kernel: int, stride: int = 1, relu: bool = True):
    x = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.layers.ReLU()(x) if relu else x


def _pair(x, filters: int, kernel: int = 3, stride: int = 1):
    first = _convolution(x, filters, kernel, stride)
    return keras.layers.Add()([first, _convolution(first, filters, 3)])


def published_network():
    """(N, H, W, 6) to (N, H, W, 1)."""
    scene = keras.layers.Input((None, None, 6))
    skips = [_convolution(scene, WIDTHS[0], 1, relu=False)]
    for width in WIDTHS[1:]:
        skips.append(_pair(skips[-1], width, kernel=5, stride=2))
    x = _pair(skips[-1], WIDTHS[-1])
    for width in reversed(WIDTHS[:-1]):
        x = keras.layers.Add()([x, skips.pop()])
        x = _pair(keras.layers.Lambda(lambda t: tf.nn.depth_to_space(t, 2))(x), width)
    x = _convolution(keras.layers.Add()([x, skips.pop()]), 1, 1, relu=False)
    return keras.Model(scene, keras.layers.Activation("sigmoid")(x))


def randomise(model, image: np.ndarray, seed: int) -> None:
    """Random kernels and batch norm; the last norm's statistics are those of `image` (H, W, 6), lest all be water."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            bound = np.sqrt(6 / np.prod(layer.kernel.shape[:3]))
            layer.set_weights([rng.uniform(-bound, bound, layer.kernel.shape)])
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        channels = norm.gamma.shape[0]
        norm.set_weights(
            [
                rng.uniform(0.5, 1.5, channels),
                rng.normal(0, 0.2, channels),
                rng.normal(0, 0.2, channels),
                rng.uniform(0.5, 2.0, channels),
            ]
        )
    before = keras.Model(model.input, norms[-1].input).predict(image[None], verbose=0)
    gamma, beta, _, _ = norms[-1].get_weights()
    norms[-1].set_weights([gamma, beta, before.mean(keepdims=True).ravel(), before.var(keepdims=True).ravel()])


def train_and_save(model, folder: Path, image: np.ndarray) -> None:
    """One epoch of one step, by which Keras' callback writes ``cp.001.ckpt`` as the authors' trainer does."""
    model.compile(keras.optimizers.legacy.SGD(1e-6, momentum=0.9), "binary_crossentropy")
    saving = keras.callbacks.ModelCheckpoint(str(folder / "cp.{epoch:03d}.ckpt"), save_weights_only=True)
    label = np.zeros((1, *image.shape[:2], 1), np.float32)
    model.fit(image[None], label, epochs=1, steps_per_epoch=1, callbacks=[saving], verbose=0)


def scaled(image: np.ndarray) -> np.ndarray:
    image = np.where(np.isfinite(image), image, 0).astype(np.float32)
    image = image - image.min()
    return image / max(image.max(), 1)


def predict(model, image: np.ndarray) -> np.ndarray:
    """(H, W, 6) to (H, W), padded by NumPy's reflection to multiples of 32, split on both sides."""
    sides = [(-size % 32 // 2, -size % 32 - -size % 32 // 2) for size in image.shape[:2]]
    padded = np.pad(image, (*sides, (0, 0)), "reflect")
    (top, _), (left, _) = sides
    given = model.predict(padded[None], verbose=0)[0, ..., 0]
    return given[top : top + image.shape[0], left : left + image.shape[1]]


def sharpened(probability: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-16 * (probability - 0.5)))
