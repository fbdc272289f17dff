"""Changes to a copy of the user's network, module by module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import nn

from narrows.guidelines.core.guideline import NotTriable

__all__ = ["changed", "replaced", "resized", "with_replacements"]


def changed(model: nn.Module, change: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """A deep copy of `model` with `change` made to it, in eval mode, of the same dtype and on the same device.

    Raises:
        NotTriable: the network can't be copied, or the change can't be made.
    """
    try:
        twin = copy.deepcopy(model)
    except Exception as error:  # an attribute that can't be copied raises what it likes
        raise NotTriable(f"the network can't be copied ({type(error).__name__})") from error
    with torch.no_grad():
        twin = change(twin) or twin
    like = next((t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()), None)
    if like is not None:
        twin = twin.to(device=like.device, dtype=like.dtype)
    return twin.eval().requires_grad_(False)


def replaced(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put `module` where `path` leads, in place.

    Raises:
        NotTriable: `path` is the network itself, or leads nowhere.
    """
    parent, _, name = path.rpartition(".")
    if not path:
        raise NotTriable("the place is the network itself")
    try:
        holder = model.get_submodule(parent)
        holder.get_submodule(name)
    except AttributeError as error:
        raise NotTriable(f"there is no module '{path}'") from error
    holder._modules[name] = module


def with_replacements(modules: Mapping[str, Callable[[nn.Module], nn.Module]]) -> Callable[[nn.Module], None]:
    """A change that puts in place of each module at a path what its function makes of it."""

    def apply(model: nn.Module) -> None:
        for path, make in modules.items():
            try:
                old = model.get_submodule(path)
            except AttributeError as error:
                raise NotTriable(f"there is no module '{path}'") from error
            replaced(model, path, make(old))

    return apply


def resized(module: nn.Module, channels_in: int, channels_out: int, groups: int) -> None:
    """Give a layer other widths, in place, with new random weights.

    Raises:
        NotTriable: it isn't a kind of layer whose widths are known, or its weight isn't a plain parameter.
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        transposed = isinstance(module, nn.ConvTranspose2d)
        first, second = (channels_in, channels_out // groups) if transposed else (channels_out, channels_in // groups)
        _renew(module, "weight", (first, second, *module.kernel_size))
        _renew(module, "bias", (channels_out,))
        module.in_channels, module.out_channels, module.groups = channels_in, channels_out, groups
    elif isinstance(module, nn.Linear):
        _renew(module, "weight", (channels_out, channels_in))
        _renew(module, "bias", (channels_out,))
        module.in_features, module.out_features = channels_in, channels_out
    elif isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)):
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            held = getattr(module, name)
            if held is not None:
                held.data = torch.full((channels_out,), value, dtype=held.dtype, device=held.device)
        module.num_features = channels_out
    elif isinstance(module, nn.PReLU):
        module.weight.data = torch.full((channels_out,), 0.25, dtype=module.weight.dtype, device=module.weight.device)
        module.num_parameters = channels_out
    else:
        raise NotTriable(f"the widths of a {type(module).__name__} are not known")


def _renew(module: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    held = getattr(module, name)
    if held is None:
        return
    if name not in module._parameters:
        raise NotTriable(f"the {name} of a {type(module).__name__} is computed, not a parameter")
    fan_in = max(1, int(torch.Size(shape[1:]).numel()))
    fresh = torch.randn(shape, dtype=held.dtype, device=held.device) * (2.0 / fan_in) ** 0.5
    held.data = fresh if name == "weight" else torch.zeros(shape, dtype=held.dtype, device=held.device)
