"""Embeddings as a checked table, and the files it is exported to."""

from sarpipe.embeddings.compression import compression
from sarpipe.embeddings.export import export
from sarpipe.embeddings.geoparquet import read_geoparquet, write_geoparquet
from sarpipe.embeddings.neuco_csv import write_csv
from sarpipe.embeddings.table import Embeddings
from sarpipe.embeddings.zarr_group import write_zarr

__all__ = [
    "Embeddings",
    "compression",
    "export",
    "read_geoparquet",
    "write_csv",
    "write_geoparquet",
    "write_zarr",
]
