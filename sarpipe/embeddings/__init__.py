"""Embeddings as a checked table, and the files it is exported to."""

from sarpipe.embeddings.compression import compression
from sarpipe.embeddings.export import export
from sarpipe.embeddings.geoparquet import read_geoparquet, write_geoparquet
from sarpipe.embeddings.neuco_csv import standardised, write_csv
from sarpipe.embeddings.origin import Origin
from sarpipe.embeddings.stac import write_stac
from sarpipe.embeddings.table import Embeddings
from sarpipe.embeddings.zarr_group import write_zarr

__all__ = [
    "Embeddings",
    "Origin",
    "compression",
    "export",
    "read_geoparquet",
    "standardised",
    "write_csv",
    "write_geoparquet",
    "write_stac",
    "write_zarr",
]
