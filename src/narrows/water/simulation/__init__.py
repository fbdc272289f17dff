"""Simulated scenes, for demonstration, benchmarks and training."""

from narrows.water.simulation.chip import Chip, Conditions, draw_conditions, simulate_chip
from narrows.water.simulation.geotiff import write_scene
from narrows.water.simulation.scene import Scenery, simulate_blocks, simulate_scene

__all__ = [
    "Chip",
    "Conditions",
    "Scenery",
    "draw_conditions",
    "simulate_blocks",
    "simulate_chip",
    "simulate_scene",
    "write_scene",
]
