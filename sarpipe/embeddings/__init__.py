"""Embeddings as a checked table, and the files it is exported to."""
