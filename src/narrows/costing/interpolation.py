"""Reading between measured points: a table of times, interpolated in logarithms.

The time of a kind of operator is a smooth function of its shape but for steps where a library changes its ways. What a
simple law explains (so much for a call, for a multiply-accumulate and for a byte) is taken out first; what remains is
interpolated by a Gaussian process with a Matern kernel (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", MIT Press 2006, equations 2.23, 4.17 and 5.12), whose length in each direction is chosen by the likelihood of
the measurements. Far from every measurement the simple law is what remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize, nnls

__all__ = ["Table"]

Array = NDArray[np.float64]
# Lengths are chosen on at most so many points: the choice needs no more, and its cost grows with their cube.
_CHOSEN_ON = 320


@dataclass
class Table:
    """Measured seconds by shape.

    Attributes:
        features: (points, features), logarithms to base 2 of what the time depends on.
        law: seconds for a call, and for each unit of the work columns.
        scale, lengths, noise: of the kernel, in log seconds and in octaves.
    """

    features: Array
    law: Array
    scale: float
    lengths: Array
    noise: float
    _weights: Array
    _errors: Array

    @classmethod
    def fit(cls, features: Array, work: Array, seconds: Array) -> Table:
        """A table of `seconds` (points,) at `features` (points, f).

        Args:
            work: (points, w), what the simple law is linear in, for instance multiply-accumulates and bytes.
        """
        law = _law(work, seconds)
        rest = np.log(seconds) - np.log(_lawful(law, work))
        chosen = np.random.default_rng(0).permutation(len(rest))[:_CHOSEN_ON]
        scale, lengths, noise = _hyperparameters(features[chosen], rest[chosen])
        kernel = _kernel(features, features, scale, lengths)
        kernel[np.diag_indices_from(kernel)] += noise**2
        factor = cho_factor(kernel, lower=True)
        inverse = cho_solve(factor, np.eye(len(rest)))
        weights = inverse @ rest
        errors = weights / np.diag(inverse)
        return cls(features, law, scale, lengths, noise, weights, errors)

    def seconds(self, features: Array, work: Array) -> Array:
        """Seconds at `features` (n, f) with `work` (n, w)."""
        between = _kernel(features, self.features, self.scale, self.lengths) @ self._weights
        return np.asarray(np.exp(between) * _lawful(self.law, work))

    @property
    def errors(self) -> Array:
        """For each point, log of its time minus log of what the other points say of it (leave one out)."""
        return self._errors


def _law(work: Array, seconds: Array) -> Array:
    """Non-negative seconds for a call and for each unit of work, by least squares of the relative error."""
    columns = np.column_stack([np.ones(len(seconds)), work])
    largest = np.maximum(columns.max(axis=0), 1e-30)
    solution, _ = nnls(columns / largest / seconds[:, None], np.ones(len(seconds)))
    # Nothing may be free: a law that is zero somewhere has no logarithm.
    return np.maximum(solution, 1e-9 * seconds.max()) / largest


def _lawful(law: Array, work: Array) -> Array:
    return np.asarray(law[0] + work @ law[1:])


def _distances(a: Array, b: Array, lengths: Array) -> Array:
    a, b = a / lengths, b / lengths
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0.0))


def _kernel(a: Array, b: Array, scale: float, lengths: Array) -> Array:
    distance = np.sqrt(5.0) * _distances(a, b, lengths)
    return np.asarray(scale**2 * (1 + distance + distance**2 / 3) * np.exp(-distance))


def _hyperparameters(features: Array, rest: Array) -> tuple[float, Array, float]:
    count, dimensions = features.shape
    differences = [(features[:, d, None] - features[None, :, d]) ** 2 for d in range(dimensions)]
    begin = np.log(np.array([max(0.2, rest.std()), *[2.0] * dimensions, 0.05]))
    bounds = [(np.log(0.05), np.log(3.0)), *[(np.log(0.4), np.log(40.0))] * dimensions, (np.log(0.01), np.log(0.5))]

    def loss(logs: Array) -> tuple[float, Array]:
        scale, lengths, noise = np.exp(logs[0]), np.exp(logs[1:-1]), np.exp(logs[-1])
        squared = sum(d / length**2 for d, length in zip(differences, lengths, strict=True))
        distance = np.sqrt(5.0 * squared)
        decay = np.exp(-distance)
        core = scale**2 * (1 + distance + distance**2 / 3) * decay
        kernel = core + noise**2 * np.eye(count)
        try:
            factor = cho_factor(kernel, lower=True)
        except LinAlgError:
            return 1e9, np.zeros_like(logs)
        inverse = cho_solve(factor, np.eye(count))
        weights = inverse @ rest
        value = 0.5 * rest @ weights + np.log(np.diag(factor[0])).sum()
        outer = inverse - np.outer(weights, weights)
        slope = scale**2 * (5.0 / 3.0) * (1 + distance) * decay
        gradient = [0.5 * np.sum(outer * 2 * core)]
        gradient += [
            0.5 * np.sum(outer * slope * d / length**2) for d, length in zip(differences, lengths, strict=True)
        ]
        gradient.append(0.5 * np.trace(outer) * 2 * noise**2)
        return float(value), np.array(gradient)

    best = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}).x
    return float(np.exp(best[0])), np.exp(best[1:-1]), float(np.exp(best[-1]))
