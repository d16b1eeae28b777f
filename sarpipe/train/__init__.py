"""The training loop, its settings and its checkpoints. Importing this does not import torch."""

from sarpipe.train.settings import TrainSettings

__all__ = ["TrainSettings"]
