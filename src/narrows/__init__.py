"""Convolutional networks for tight places."""
