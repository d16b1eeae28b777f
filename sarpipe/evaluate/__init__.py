"""How good embeddings are, always beside baselines."""

from sarpipe.evaluate.encoded import Encode
from sarpipe.evaluate.evaluation import evaluate

__all__ = ["Encode", "evaluate"]
