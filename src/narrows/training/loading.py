"""Weights from a safetensors file into a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import InputError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load_weights"]


def load_weights(model: nn.Module, path: Path) -> None:
    """Load exactly the parameters and buffers of `model` from a safetensors file, which stays mapped into memory:
    weights are read when they are needed.

    Raises:
        InputError: the file can't be read, or its names or shapes are not the network's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"--weights {path}: no such file")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"--weights {path}: not a safetensors file ({str(error).splitlines()[0]})") from error
    own = model.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        said = [
            f"{len(names)} {what} (such as {names[0]})"
            for names, what in ((missing, "missing"), (extra, "extra"))
            if names
        ]
        raise InputError(f"--weights {path}: not the weights of this network: {', '.join(said)}")
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            raise InputError(
                f"--weights {path}: {name} has shape {tuple(tensors[name].shape)}, "
                f"the network needs {tuple(tensor.shape)}"
            )
    held = {name: tensor.to(own[name].dtype) for name, tensor in tensors.items()}
    model.load_state_dict(held, assign=True)
