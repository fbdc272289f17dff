"""Losses for maps with unknown pixels, and a monitor for units that die."""

from narrows.training.dead_units import DeadUnits, LayerUnits

__all__ = ["DeadUnits", "LayerUnits"]
