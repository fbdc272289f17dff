"""Weights of DeepWaterMapV2 from the TensorFlow checkpoints that its authors' trainer writes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Variables", "convert", "import_checkpoint", "read_checkpoint"]

# By (index among the layers that have weights, in the order in which they run; name within the layer).
Variables = Mapping[tuple[int, str], NDArray[Any]]

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# The end of the name keeps out what the optimizer stores beside each variable.
_KEY = re.compile(rf"(?:.*/)?layer_with_weights-(\d+)/(kernel|{'|'.join(_NORM)})/\.ATTRIBUTES/VARIABLE_VALUE")
_MISSING = "reading a TensorFlow checkpoint needs TensorFlow: pip install 'narrows[deepwatermap]'"


def read_checkpoint(checkpoint: Path) -> dict[tuple[int, str], NDArray[Any]]:
    """The layers' variables in a checkpoint that Keras 2 saved as weights only (``cp.135.ckpt``).

    `checkpoint` is the name that its files share, one of these files (``.index``, ``.data-00000-of-00001``),
    or a folder with one checkpoint in it. Kernels are (rows, columns, channels in, channels out).

    Raises:
        InputError: there is no such checkpoint, it can't be read, or TensorFlow isn't installed.
    """
    prefix = _prefix(checkpoint)
    # TensorFlow remarks on processor and GPU, of which reading needs neither; this silences what can be silenced.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise InputError(f"{checkpoint}: {_MISSING}") from error
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        found = {key: match for key in reader.get_variable_to_shape_map() if (match := _KEY.fullmatch(key))}
        return {(int(match[1]), match[2]): np.asarray(reader.get_tensor(key)) for key, match in found.items()}
    except Exception as error:
        # TensorFlow's readers raise what they please: RuntimeError, ValueError, errors.DataLossError.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{checkpoint}: TensorFlow can't read it ({reason})") from error


def convert(variables: Variables) -> dict[str, Tensor]:
    """The state dictionary of `narrows.networks.deepwatermap.DeepWaterMapV2`, float32, from TensorFlow's
    variables.

    Raises:
        InputError: they aren't this network's: one is missing, is left over, has another shape or isn't
        finite.
    """
    import torch

    from narrows.networks.deepwatermap import DeepWaterMapV2, SameConvNorm

    # On "meta" the network says names and shapes, and takes no memory.
    with torch.device("meta"):
        network = DeepWaterMapV2()
    layers = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, SameConvNorm)]
    left = dict(variables)
    state: dict[str, Tensor] = {}
    for place, ((path, layer), (reads, writes)) in enumerate(zip(layers, _interleaved(), strict=True)):
        convolution = layer.convolution
        outputs = _order(convolution.out_channels, writes)
        inputs = _order(convolution.in_channels, reads)
        shape = (*convolution.kernel_size, convolution.in_channels, convolution.out_channels)
        kernel = _taken(left, 2 * place, "kernel", shape).transpose(3, 2, 0, 1)[np.ix_(outputs, inputs)]
        state[f"{path}.convolution.weight"] = torch.from_numpy(kernel)
        for name, torch_name in _NORM.items():
            values = _taken(left, 2 * place + 1, name, (convolution.out_channels,))[outputs]
            state[f"{path}.norm.{torch_name}"] = torch.from_numpy(values)
        state[f"{path}.norm.num_batches_tracked"] = torch.tensor(0)
    if left:
        index, name = min(left)
        raise InputError(f"not DeepWaterMapV2: layer_with_weights-{index}/{name} is one too many")
    return {name: tensor.contiguous() for name, tensor in state.items()}


def import_checkpoint(checkpoint: Path) -> dict[str, Tensor]:
    """The state dictionary of `DeepWaterMapV2` from a checkpoint.

    Raises:
        InputError: as `read_checkpoint` and `convert`, and names the checkpoint.
    """
    variables = read_checkpoint(checkpoint)
    try:
        return convert(variables)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}") from error


def _taken(
    left: dict[tuple[int, str], NDArray[Any]], index: int, name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """One variable, taken out of `left`, of this shape and finite."""
    variable = f"layer_with_weights-{index}/{name}"
    array = left.pop((index, name), None)
    if array is None:
        raise InputError(f"not DeepWaterMapV2: {variable} is missing")
    if array.shape != shape:
        raise InputError(f"not DeepWaterMapV2: {variable} is {_by(array.shape)}, the network needs {_by(shape)}")
    if not np.isfinite(array).all():
        raise InputError(f"damaged: {variable} holds values that are not finite")
    return array.astype(np.float32)


def _interleaved() -> list[tuple[bool, bool]]:
    """For each convolution, whether PyTorch orders the channels that it reads and writes otherwise than
    TensorFlow.

    So it is at every scale that depth-to-space later takes apart, which is all but the finest.
    """
    entry = head = [(False, False)]
    encoder = [(False, True), (True, True)] + 3 * [(True, True), (True, True)]
    bottleneck = 2 * [(True, True)]
    decoder = 3 * [(False, True), (True, True)] + [(False, False), (False, False)]
    return entry + encoder + bottleneck + decoder + head


def _order(channels: int, interleaved: bool) -> NDArray[np.intp]:
    """TensorFlow's channel in each of PyTorch's places.

    Depth-to-space gives output channel c at place s of its 2 x 2 block from channel s C + c, pixel shuffle
    from 4 c + s.
    """
    order = np.arange(channels)
    return order.reshape(4, -1).T.ravel() if interleaved else order


def _prefix(checkpoint: Path) -> Path:
    if checkpoint.is_dir():
        indices = sorted(checkpoint.glob("*.index"))
        if len(indices) != 1:
            held = ", ".join(index.stem for index in indices[:3]) + (", …" if len(indices) > 3 else "")
            raise InputError(f"{checkpoint}: name one checkpoint in it ({held or 'it holds none'})")
        checkpoint = indices[0]
    name = re.sub(r"\.(index|data-\d+-of-\d+)$", "", checkpoint.name)
    prefix = checkpoint.with_name(name)
    if not prefix.with_name(f"{name}.index").is_file():
        if checkpoint.is_file():
            raise InputError(f"{checkpoint}: not a TensorFlow checkpoint, or {name}.index is missing beside it")
        raise InputError(f"{checkpoint}: no such checkpoint ({name}.index doesn't exist)")
    if not any(part.name.startswith(f"{name}.data-") for part in prefix.parent.iterdir()):
        raise InputError(f"{checkpoint}: {name}.data-00000-of-00001 is missing beside {name}.index")
    return prefix


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
