"""Self-supervised learning: views and losses."""
