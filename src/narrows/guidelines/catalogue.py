"""Every guideline, in the order of their keys."""

from __future__ import annotations

from narrows.guidelines import (
    barriers,
    channel_changes,
    dear_attention,
    element_wise,
    equal_widths,
    first_layer,
    fragments,
    group_convolution,
    machine_sizes,
    memory_per_level,
    missing_attention,
    narrow_relu,
    skip_lines,
    split_kernels,
    vertical_reach,
)
from narrows.guidelines.core.guideline import Guideline

__all__ = ["GUIDELINES"]

GUIDELINES: tuple[Guideline, ...] = tuple(
    module.GUIDELINE
    for module in (
        equal_widths,
        group_convolution,
        fragments,
        element_wise,
        channel_changes,
        narrow_relu,
        first_layer,
        split_kernels,
        memory_per_level,
        missing_attention,
        dear_attention,
        skip_lines,
        vertical_reach,
        barriers,
        machine_sizes,
    )
)
