"""Train a water network on a user's own scenes and masks."""

from narrows.water.training.fine_tuning import Trained, train
from narrows.water.training.settings import TrainSettings

__all__ = ["TrainSettings", "Trained", "train"]
