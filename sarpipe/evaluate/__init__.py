"""How good embeddings are, always beside baselines."""

from sarpipe.evaluate.evaluation import Encode, evaluate

__all__ = ["Encode", "evaluate"]
