"""Simulated scenes, for demonstration, benchmarks and training."""

from narrows.water.simulation.geotiff import write_scene
from narrows.water.simulation.scene import Scenery, simulate_blocks, simulate_scene

__all__ = ["Scenery", "simulate_blocks", "simulate_scene", "write_scene"]
