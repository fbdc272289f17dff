"""Files of trained water networks: the weights, and in the file's metadata which network they belong to and where they
come from.

A file holds ``architecture`` (``water_net`` or ``rowwise_water``), ``configuration`` (its arguments, JSON),
``threshold`` (from which probability on water begins) and ``training`` (JSON: what it was trained on and how, and its
scores).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import InputError, OutputError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "DEFAULT",
    "ENDING",
    "SIZES",
    "WaterModel",
    "is_model_file",
    "new_model",
    "read_model_file",
    "save_model_file",
    "shipped_model",
    "tells_hidden",
]

ENDING = ".safetensors"
DEFAULT = "water"
"""The weights, of those that come with narrows, that training begins with unless told."""
SIZES = ("water", "water-small")
"""Networks that can be trained from scratch."""


@dataclass(frozen=True)
class WaterModel:
    """A network of (water, hidden), see `narrows.networks.water_net.WaterNet`.

    Attributes:
        name: of the weights. module: the network. training: what its file says of how it was trained.
    """

    name: str
    module: nn.Module
    training: dict[str, Any] = field(default_factory=dict)


def is_model_file(model: object) -> bool:
    """Whether what names a network names a file that `narrows water train` wrote, by its ending."""
    return isinstance(model, str) and model.lower().endswith(ENDING) and not model.startswith("deepwatermap:")


def tells_hidden(model: object) -> bool:
    """Whether what names a network (None for the default one) names one that also says what clouds hide: one that comes
    with narrows, or a file of weights.
    """
    from narrows.water import weights

    return model is None or is_model_file(model) or (isinstance(model, str) and model in weights.available())


def new_model(size: str) -> WaterModel:
    """A network of that size with random weights.

    Raises:
        InputError: there is no such size.
    """
    from narrows.networks.water_net import water, water_small

    if size not in SIZES:
        raise InputError(f"--size {size}: there are {' and '.join(SIZES)}")
    return WaterModel(size, water_small() if size == "water-small" else water())


def shipped_model(name: str) -> WaterModel:
    """A network with the weights that come with narrows under that name.

    Raises:
        InputError: there are none.
    """
    from narrows.water import weights

    return WaterModel(name, weights.load(name))


def save_model_file(model: WaterModel, path: Path) -> None:
    """Write the file, whole or not at all; one that exists is replaced.

    Raises:
        OutputError: it can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from narrows.rasters.staging import put_in_place

    architecture, configuration = _described(model.module)
    about = {
        "architecture": architecture,
        "configuration": json.dumps(configuration),
        "threshold": "0.5",
        "training": json.dumps(model.training),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.module.state_dict().items()}
    beside = path.with_name(f".{path.name}.part")
    try:
        save_file(tensors, beside, about)
        put_in_place(beside, path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: can't be written ({error})") from error
    finally:
        beside.unlink(missing_ok=True)


def read_model_file(path: str | Path) -> WaterModel:
    """The network in a file that `narrows water train` wrote, in eval mode, named as the file.

    Raises:
        InputError: it isn't there, isn't such a file, or isn't whole.
    """
    from narrows.training.loading import load_weights

    path = Path(path)
    about = _metadata(path)
    if about.get("architecture") not in _classes():
        raise InputError(
            f"{path}: doesn't say which water network it holds, as a file that `narrows water train` wrote does; for "
            "weights of another network name its factory with --model and the file with --weights"
        )
    try:
        configuration = json.loads(about["configuration"])
        training = json.loads(about.get("training", "{}"))
        arguments = {name: tuple(value) for name, value in configuration.items()}
        module = _classes()[about["architecture"]](**arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: the network it describes can't be made (did another version of narrows write it?): {error}"
        ) from error
    load_weights(module, path)
    return WaterModel(path.stem, module.eval(), training)


def _metadata(path: Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a safetensors file ({str(error).splitlines()[0]})") from error


def _classes() -> dict[str, type[nn.Module]]:
    from narrows.networks.rowwise_water import RowwiseWater
    from narrows.networks.water_net import WaterNet

    return {"water_net": WaterNet, "rowwise_water": RowwiseWater}


def _described(module: Any) -> tuple[str, dict[str, list[int]]]:
    """The architecture of a network, and its arguments as its layers show them."""
    architecture = next(name for name, kind in _classes().items() if isinstance(module, kind))
    first = (module.squares, module.encode_half[0]) if architecture == "water_net" else (module.fine, module.down_half)
    layers = (*first, module.down_quarter, module.down_eighth)
    depths = [len(module.encode_quarter), len(module.encode_eighth)]
    return architecture, {"widths": [layer[0].out_channels for layer in layers], "depths": depths}
