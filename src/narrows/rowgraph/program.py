"""The calls of a network in order, and what the row graph needs to know of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Program"]


@dataclass(frozen=True)
class Program:
    """The ATen calls of a network at one size of its inputs, composite operators taken apart.

    Attributes:
        graph: the calls. Each node has its value (a tensor, whose shape and dtype alone count) in ``meta["val"]``, and
            where it came from as `torch.export` notes it.
        tensors: weights, buffers and other constants, by the name of their placeholder.
        images: names of the placeholders that are the user's inputs.
        outputs: how many of the graph's outputs, from the last on backwards, the network returns.
        structure, input_structure: put the outputs, and the arguments, together again (pytree).
    """

    graph: torch.fx.Graph
    tensors: Mapping[str, torch.Tensor]
    images: tuple[str, ...]
    outputs: int
    structure: Any
    input_structure: Any
