"""All forms of the embeddings in one folder."""

from __future__ import annotations

from pathlib import Path

from sarpipe.embeddings.geoparquet import write_geoparquet
from sarpipe.embeddings.neuco_csv import standardised, write_csv
from sarpipe.embeddings.origin import Origin
from sarpipe.embeddings.stac import write_stac
from sarpipe.embeddings.table import Embeddings
from sarpipe.embeddings.zarr_group import write_zarr

PARQUET, CSV, STANDARDISED, ZARR = (
    "embeddings.parquet",
    "embeddings.csv",
    "embeddings_standardised.csv",
    "embeddings.zarr",
)


def export(folder: Path, embeddings: Embeddings, origin: Origin) -> None:
    """Write ``embeddings.parquet``, ``embeddings.csv``, ``embeddings_standardised.csv``, ``embeddings.zarr``, and
    ``collection.json`` and ``item.json``, which describe them. Same embeddings and origin, same bytes in all files, in
    whatever order the places are given.

    Args:
        folder: Exists; the caller commits it.
        embeddings: The table.
        origin: What the embeddings were made from and by.
    """
    write_geoparquet(folder / PARQUET, embeddings, origin.provenance)
    write_csv(folder / CSV, embeddings)
    write_csv(folder / STANDARDISED, standardised(embeddings))
    write_zarr(folder / ZARR, embeddings, origin)
    write_stac(folder, embeddings, origin)
