"""Run a row graph strip by strip, within a memory budget known beforehand."""
