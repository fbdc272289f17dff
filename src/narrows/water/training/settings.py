"""How a network is trained on a user's scenes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from narrows.errors import InputError
from narrows.training.loop import LoopSettings
from narrows.water.model_files import DEFAULT
from narrows.water.training.labelled import CELL

__all__ = ["SCRATCH", "TrainSettings"]

SCRATCH = "scratch"
_RATE, _SCRATCH_RATE = 5e-4, 2e-3
_VALIDATIONS = 20
_WARM = 150


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained.

    Attributes:
        start: weights to begin with: a name of those that come with narrows, a file that a training wrote, or
            ``"scratch"``.
        size: of a network from scratch: "water" unless told, or "water-small".
        steps: of the optimiser, each on one batch.
        batch, crop: crops of a step, and their side in pixels.
        rate: the highest learning rate; 5e-4, or from scratch 2e-3, if left out.
        validation: share of the scenes (or blocks) kept for validation, 0 for none.
        patience: validations without a better one after which training stops; 0 goes on to the end.
        simulated: share of each batch that is simulated chips.
        seed: of everything drawn.

    Raises:
        InputError: one of them makes no sense.
    """

    start: str = DEFAULT
    size: str | None = None
    steps: int = 1500
    batch: int = 8
    crop: int = 128
    rate: float | None = None
    validation: float = 0.2
    patience: int = 8
    simulated: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("crop", CELL), ("patience", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least {least}")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise InputError(f"--rate {self.rate:g}: a learning rate lies between 0 and 1")
        if not 0 <= self.validation <= 0.8:
            raise InputError(f"--validation {self.validation:g}: a share between 0 and 0.8")
        if not 0 <= self.simulated < 1:
            raise InputError(f"--simulated {self.simulated:g}: a share of 0 or more and less than 1")
        if self.simulated and self.simulated_chips == self.batch:
            raise InputError(f"--simulated {self.simulated:g}: leaves no crop of yours in a batch of {self.batch}")
        if self.size is not None and not self.from_scratch:
            raise InputError("--size is for --from scratch; weights have the size that they have")

    @property
    def from_scratch(self) -> bool:
        return self.start == SCRATCH

    @property
    def highest_rate(self) -> float:
        return self.rate or (_SCRATCH_RATE if self.from_scratch else _RATE)

    @property
    def simulated_chips(self) -> int:
        """Of a batch."""
        return max(1, round(self.simulated * self.batch)) if self.simulated else 0

    @property
    def validate_every(self) -> int:
        """Steps between validations."""
        return max(1, self.steps // _VALIDATIONS)

    def loop(self, *, validates: bool) -> LoopSettings:
        """For `fit`. Checkpoints stand wherever it validates."""
        return LoopSettings(
            self.steps,
            self.highest_rate,
            warm=min(_WARM, self.steps // 10),
            seed=self.seed,
            save_every=self.validate_every,
            validate_every=self.validate_every if validates else 0,
            patience=self.patience if validates else 0,
        )

    def as_dict(self) -> dict[str, Any]:
        """For the run's folder and the file; all of it changes the result."""
        return asdict(self) | {"rate": self.highest_rate}
