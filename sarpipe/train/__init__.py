"""The training loop, its settings and its checkpoints. Importing this does not import torch."""

from sarpipe.train.settings import TrainSettings

__all__ = ["CODE", "TrainSettings"]

CODE = ("channels.py", "checksums.py", "cubes.py", "model", "ssl", "train")
"""Parts of the package that decide what a training gives (`sarpipe.storage.code_version`)."""
