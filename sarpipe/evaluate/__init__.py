"""How good embeddings are, always beside baselines."""
