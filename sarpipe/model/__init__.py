"""The encoder and its projection head."""
