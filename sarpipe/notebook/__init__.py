"""sarpipe in a notebook: open embeddings, search, probe, plot."""
