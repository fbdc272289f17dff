"""Operators that make each element of their output from the same element of their inputs."""
