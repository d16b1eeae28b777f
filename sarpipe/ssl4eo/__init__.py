"""Reading SSL4EO-S12 S1GRD in all its layouts: checked, in date order, to one in-memory type."""

from sarpipe.ssl4eo.archive import Archive, open_archive
from sarpipe.ssl4eo.bundle import UnreadablePlace
from sarpipe.ssl4eo.group import Group, RemoteGroup, Source
from sarpipe.ssl4eo.name import is_store_name, store_name
from sarpipe.ssl4eo.parts import open_source, read_parts
from sarpipe.ssl4eo.source import find_stores
from sarpipe.ssl4eo.store import Store, read_store

__all__ = [
    "Archive",
    "Group",
    "RemoteGroup",
    "Source",
    "Store",
    "UnreadablePlace",
    "find_stores",
    "is_store_name",
    "open_archive",
    "open_source",
    "read_parts",
    "read_store",
    "store_name",
]
