"""Prefect flows: what runs, in which order; and the command line."""
