"""The user's tree of modules, with the costs of the calls below each."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from narrows.costing.calls import Traced
from narrows.costing.report import ModuleCost, is_below

__all__ = ["module_costs", "parameters_of"]


def parameters_of(model: torch.nn.Module | None, traced: Traced) -> int:
    """Parameters of the whole network, shared ones once."""
    if model is None:
        return sum(traced.parameters.values())
    return sum(parameter.numel() for parameter in model.parameters())


def module_costs(model: torch.nn.Module | None, name: str, traced: Traced) -> tuple[ModuleCost, ...]:
    """Each module that holds parameters or makes calls, the network first and each before what is in it."""
    kinds: dict[str, str] = {"": name}
    for stack in traced.stacks:
        for path, kind in stack:
            if path:
                kinds.setdefault(path, kind.rpartition(".")[2])
    if model is not None:
        kinds |= {path: type(module).__name__ for path, module in model.named_modules() if path}
    for path in list(kinds):
        parts = path.split(".")
        for end in range(1, len(parts)):
            kinds.setdefault(".".join(parts[:end]), "")
    inside = _modules_of(traced)
    made = [_cost(path, kinds[path], model, traced, inside) for path in _in_order(kinds, model)]
    return tuple(cost for cost in made if cost.calls or cost.parameters or not cost.path)


def _modules_of(traced: Traced) -> dict[str, list[int]]:
    """The calls made inside each module, by the stack of modules that they were made in."""
    found: dict[str, list[int]] = {}
    for place, stack in enumerate(traced.stacks):
        paths = {""}
        for path, _ in stack:
            parts = path.split(".") if path else []
            paths |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        for path in paths:
            found.setdefault(path, []).append(place)
    return found


def _in_order(kinds: Mapping[str, str], model: torch.nn.Module | None) -> list[str]:
    if model is None:
        return sorted(kinds, key=lambda path: [_natural(part) for part in path.split(".")] if path else [])
    known = [path for path, _ in model.named_modules()]
    return known + sorted(set(kinds) - set(known))


def _natural(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdigit() else (-1, part)


def _cost(
    path: str, kind: str, model: torch.nn.Module | None, traced: Traced, inside: Mapping[str, list[int]]
) -> ModuleCost:
    calls = [traced.operators[place] for place in inside.get(path, [])]
    unknown = tuple(dict.fromkeys(call.target for call in calls if call.macs is None))
    return ModuleCost(
        path=path,
        kind=kind,
        depth=path.count(".") + 1 if path else 0,
        calls=len(calls),
        launched=sum(call.launched for call in calls),
        macs=sum(call.macs or 0 for call in calls),
        parameters=_parameters(path, model, traced),
        bytes_read=sum(call.bytes_read for call in calls),
        bytes_written=sum(call.bytes_written for call in calls),
        weight_bytes=sum(call.weight_bytes for call in calls),
        elementwise_bytes=sum(call.bytes_moved for call in calls if call.elementwise),
        unknown=unknown,
    )


def _parameters(path: str, model: torch.nn.Module | None, traced: Traced) -> int:
    if model is not None:
        try:
            module = model.get_submodule(path)
        except AttributeError:
            return 0
        return sum(parameter.numel() for parameter in module.parameters())
    return sum(count for name, count in traced.parameters.items() if is_below(name, path))
