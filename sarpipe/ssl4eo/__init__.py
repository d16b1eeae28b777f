"""Reading SSL4EO-S12 v1.1 S1GRD stores: checked, in date order, to one in-memory type."""

from sarpipe.ssl4eo.archive import Archive, open_archive
from sarpipe.ssl4eo.source import find_stores, store_name
from sarpipe.ssl4eo.store import Store, read_store

__all__ = ["Archive", "Store", "find_stores", "open_archive", "read_store", "store_name"]
