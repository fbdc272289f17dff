"""Follows a training: validates, and writes its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from narrows.training.loop import Step
from narrows.water.evaluation.confusion import Confusion
from narrows.water.training.run_folder import RunFolder
from narrows.water.training.validating import score_windows

__all__ = ["Journal"]


class Journal:
    """What `fit` asks and tells: the F1 on `windows` (see `fixed_windows`), and a line of the log for noted steps."""

    def __init__(
        self,
        run: RunFolder,
        windows: Sequence[tuple[NDArray[np.float32], NDArray[np.uint8]]],
        device: torch.device,
        report: Callable[[Step], None] | None,
    ) -> None:
        self._run, self._windows, self._device, self._report = run, windows, device, report
        self._found = Confusion()

    def validate(self, model: nn.Module) -> float:
        """F1, 0 where nothing is found."""
        self._found = score_windows(model, self._windows, self._device)
        return self._found.f1 or 0.0

    def write(self, step: Step) -> None:
        """Pass the step on, and add it to the log where it is noted."""
        if step.noted:
            scored = step.score is not None
            self._run.add(
                {
                    "step": step.step,
                    "loss": step.loss,
                    "validation_f1": step.score,
                    "validation_iou": self._found.iou or 0.0 if scored else None,
                    "seconds": step.seconds,
                }
            )
        if self._report is not None:
            self._report(step)
