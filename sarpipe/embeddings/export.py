"""All forms of the embeddings in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarpipe.embeddings.geoparquet import write_geoparquet
from sarpipe.embeddings.neuco_csv import write_csv
from sarpipe.embeddings.table import Embeddings
from sarpipe.embeddings.zarr_group import write_zarr

PARQUET, CSV, ZARR = "embeddings.parquet", "embeddings.csv", "embeddings.zarr"


def export(folder: Path, embeddings: Embeddings, provenance: Mapping[str, Any]) -> None:
    """Write ``embeddings.parquet``, ``embeddings.csv`` and ``embeddings.zarr``.

    Args:
        folder: Exists; the caller commits it.
        embeddings: The table.
        provenance: JSON-able: what the embeddings were made from and by.
    """
    write_geoparquet(folder / PARQUET, embeddings, provenance)
    write_csv(folder / CSV, embeddings)
    write_zarr(folder / ZARR, embeddings, provenance)
