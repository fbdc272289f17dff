"""Trained weights of the imaging core, a file for each task: ``<task>.safetensors``, with the core's arguments inside.

The file's metadata holds ``task``, the task's name, and ``configuration``, the arguments of
`narrows.networks.imaging_core` as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import InputError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["available", "load", "save"]


def available() -> list[str]:
    """Tasks whose weights come with the package."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.safetensors"))


def save(core: nn.Module, path: Path, task: str, configuration: Mapping[str, Any]) -> None:
    """Write the weights of a core for `task`, with the arguments it was made with.

    Raises:
        TypeError: the configuration isn't plain JSON.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in core.state_dict().items()}
    save_file(tensors, path, {"task": task, "configuration": json.dumps(dict(configuration))})


def load(task: str, path: Path | None = None) -> nn.Module:
    """The imaging core with weights for `task`: those of the package, or of the file at `path`. In eval mode, float32.

    Raises:
        InputError: the package has none for the task; the file isn't one that `save` wrote, or is for another task.
    """
    if path is None:
        if task not in available():
            shipped = f"only for {', '.join(available())}" if available() else "nor for another task"
            raise InputError(f"no weights for {task} come with narrows, {shipped}; name a file with --weights")
        path = Path(__file__).parent / f"{task}.safetensors"
    core = _made(path, task)
    from narrows.training.loading import load_weights

    load_weights(core, path)
    return core.eval()


def _made(path: Path, task: str) -> nn.Module:
    from safetensors import SafetensorError, safe_open

    from narrows.networks.imaging_core import imaging_core

    if not path.is_file():
        raise InputError(f"--weights {path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"--weights {path}: not a safetensors file ({str(error).splitlines()[0]})") from error
    if "task" not in metadata or "configuration" not in metadata:
        raise InputError(
            f"--weights {path}: doesn't say for which task and core it is; narrows.imaging.weights.save does"
        )
    if metadata["task"] != task:
        raise InputError(f"--weights {path}: these are weights for the task {metadata['task']}, not for {task}")
    try:
        configuration = json.loads(metadata["configuration"])
        return imaging_core(**configuration)
    except (TypeError, ValueError) as error:
        raise InputError(f"--weights {path}: the core it describes can't be made: {error}") from error
