"""Prefect tasks: thin skins over the stages, with retries, timeouts, cache keys and artifacts."""
