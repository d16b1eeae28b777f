"""Types of parameters that several flows have: the UI makes its forms from them, and refuses what does not fit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

Place = Annotated[str, Field(min_length=1)]
"""A path, a glob, or a URL."""
Recipe = Literal["sar", "original"] | None
Preset = Literal["sar", "original"] | None
Overrides = dict[Annotated[str, Field(min_length=1)], Any] | None
"""Settings by dotted name."""
Workers = Annotated[int, Field(ge=1, le=1024)] | None
"""Dask worker processes."""
Format = Literal["parquet"] | None
Stage = Literal["preprocess", "train", "embed", "evaluate", "report"]
