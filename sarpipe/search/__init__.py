"""Places like this one: exact search, and search by bits that are rescored."""

from sarpipe.search.binary import binary, sign_bits
from sarpipe.search.direction import directions
from sarpipe.search.exact import exact
from sarpipe.search.found import Found, Hit, find
from sarpipe.search.index import Index
from sarpipe.search.query import Query, by_id, by_vector, nearest_to

__all__ = [
    "Found",
    "Hit",
    "Index",
    "Query",
    "binary",
    "by_id",
    "by_vector",
    "directions",
    "exact",
    "find",
    "nearest_to",
    "sign_bits",
]
