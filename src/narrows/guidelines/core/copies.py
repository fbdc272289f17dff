"""Copies of the user's network, and images to run them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from narrows.guidelines.core.guideline import NotTriable
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.surgery import changed

__all__ = ["call", "check_same", "copied", "images"]

_SAME_WITHIN = 1e-3


def copied(subject: Subject) -> nn.Module:
    """The network as it is, once more."""
    assert subject.model is not None
    return changed(subject.model, lambda model: None)


def call(model: nn.Module, inputs: Any) -> Any:
    return model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)


def images(subject: Subject, size: tuple[int, int]) -> Any:
    """Random images with as many rows and columns for each of the user's inputs as `size` has."""
    whole = (subject.height, subject.width)

    def made(shape: tuple[int, ...]) -> torch.Tensor:
        cut = list(shape)
        if len(shape) >= 3:
            cut[-2:] = [max(1, have * now // full) for have, now, full in zip(shape[-2:], size, whole, strict=True)]
        drawn = torch.rand(cut, generator=torch.Generator().manual_seed(0))
        like = next(iter(subject.model.parameters()), None) if subject.model is not None else None
        return drawn.to(dtype=subject.dtype, device=like.device if like is not None else None)

    shapes = subject.inputs
    if isinstance(shapes, Mapping):
        return {name: made(shape) for name, shape in shapes.items()}
    return [made(shape) for shape in shapes]


def check_same(subject: Subject, other: nn.Module, inputs: Any) -> None:
    """Compare what two networks make of the same images.

    Raises:
        NotTriable: they don't give the same.
    """
    pairs = zip(pytree.tree_leaves(call(copied(subject), inputs)), pytree.tree_leaves(call(other, inputs)), strict=True)
    for a, b in pairs:
        most = float(a.abs().max()) if a.numel() else 0.0
        if not torch.allclose(a, b, rtol=_SAME_WITHIN, atol=_SAME_WITHIN * most + 1e-12, equal_nan=True):
            raise NotTriable("the changed network, which should give the same result, doesn't")
