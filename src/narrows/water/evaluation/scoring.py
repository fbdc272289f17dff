"""One method's scores on one scene, or on several together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.water.evaluation.body_sizes import BodyRecall
from narrows.water.evaluation.boundary import Boundary
from narrows.water.evaluation.calibration import MIDDLE, Reliability
from narrows.water.evaluation.confusion import Confusion, judge
from narrows.water.evaluation.methods import Answer

__all__ = ["Scores", "score"]


@dataclass(frozen=True)
class Scores:
    """All add up over scenes.

    Attributes:
        confusion: land, water, cloud and shadow scored, unobserved wrong on land and water (see `judge`).
        clear: the same on land and water alone.
        as_land: as `confusion`, with unobserved answers taken for land.
        boundary, bodies: on land and water alone.
        reliability: of the probability on land and water; None for a method without one.
        clear_pixels, clear_unobserved: land and water, and of those the unobserved.
        covered_pixels, covered_water: cloud and shadow, and of those called water.
        seconds: what mapping took.
    """

    confusion: Confusion = field(default_factory=Confusion)
    clear: Confusion = field(default_factory=Confusion)
    as_land: Confusion = field(default_factory=Confusion)
    boundary: Boundary = field(default_factory=Boundary)
    bodies: BodyRecall = field(default_factory=BodyRecall)
    reliability: Reliability | None = None
    clear_pixels: int = 0
    clear_unobserved: int = 0
    covered_pixels: int = 0
    covered_water: int = 0
    seconds: float = 0.0

    def __add__(self, other: Scores) -> Scores:
        mine, theirs = self.reliability, other.reliability
        return Scores(
            self.confusion + other.confusion,
            self.clear + other.clear,
            self.as_land + other.as_land,
            self.boundary + other.boundary,
            self.bodies + other.bodies,
            mine + theirs if mine is not None and theirs is not None else mine or theirs,
            self.clear_pixels + other.clear_pixels,
            self.clear_unobserved + other.clear_unobserved,
            self.covered_pixels + other.covered_pixels,
            self.covered_water + other.covered_water,
            self.seconds + other.seconds,
        )

    @property
    def unobserved_share(self) -> float | None:
        """Of land and water."""
        return self.clear_unobserved / self.clear_pixels if self.clear_pixels else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; None where a score isn't defined."""
        calibration = None
        if self.reliability is not None:
            calibration = {
                "ece": self.reliability.error(),
                f"ece_{MIDDLE[0]:g}_to_{MIDDLE[1]:g}": self.reliability.error(within=MIDDLE),
                "bins": [vars(each) for each in self.reliability.bins()],
                "risk_by_coverage": self.reliability.risk_by_coverage(20),
                "pixels": self.reliability.pixels,
            }
        return {
            **self.confusion.as_dict(),
            "boundary_f1": self.boundary.f1,
            "clear_only": self.clear.as_dict(),
            "unobserved_as_land": self.as_land.as_dict(),
            "clear_unobserved_share": self.unobserved_share,
            "cloud_and_shadow_pixels": self.covered_pixels,
            "cloud_and_shadow_called_water": self.covered_water,
            "recall_by_size": self.bodies.as_list(),
            "calibration": calibration,
            "seconds": round(self.seconds, 2),
        }


def score(answer: Answer, truth: NDArray[np.uint8], observed: NDArray[np.bool_], *, seconds: float = 0.0) -> Scores:
    """Score an answer (H, W) against a mask (see `read_truth`) where the scene was `observed`."""
    seen = judge(answer.classes, truth, observed)
    reliability = None
    if answer.probability is not None:
        reliability = Reliability()
        known = seen.clear & np.isfinite(answer.probability)
        reliability.add(answer.probability[known], seen.wet[known])
    return Scores(
        Confusion.of(seen.water, seen.wet, seen.scored),
        Confusion.of(seen.water, seen.wet, seen.clear),
        Confusion.of(seen.called, seen.wet, seen.scored),
        Boundary.of(seen.called, seen.wet, seen.clear),
        BodyRecall.of(seen.called, seen.wet),
        reliability,
        int(seen.clear.sum()),
        int((seen.unobserved & seen.clear).sum()),
        int(seen.covered.sum()),
        int((seen.called & seen.covered).sum()),
        seconds,
    )
