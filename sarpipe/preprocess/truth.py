"""What a simulator knows of the places of a store: a table beside it, sealed with a checksum of what it holds."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.ssl4eo import Group, store_name

_SEAL = b"sarpipe:sha256"


def truth_path(source: Path | Group) -> Path:
    """Where a simulator leaves the truth of a store: ``<name>.truth.parquet`` beside it, or in the folder of a group,
    which has one truth for all of its files.
    """
    if isinstance(source, Group):
        return source.folder / f"{source.folder.name}.truth.parquet"
    return source.with_name(f"{store_name(source)}.truth.parquet")


def sealed(table: pa.Table) -> pa.Table:
    """The table with a checksum of its names and values in its metadata: Parquet has none that covers all of them."""
    return table.replace_schema_metadata({_SEAL: _checksum(table)})


def read_truth(path: Path, ids: list[str]) -> pa.Table:
    """What is known of these places, in this order: ``id`` and columns of float64.

    A table without a seal (of another simulator) is taken as it is.

    Raises:
        DataError: It does not match its seal, is no table of numbers, or lacks a place.
    """
    try:
        table = pq.read_table(path)
        seal = (table.schema.metadata or {}).get(_SEAL)
        if seal is not None and seal != _checksum(table):
            raise ValueError("it does not match its checksum")
        frame = table.to_pandas(ignore_metadata=True).set_index("id")
        if not frame.index.is_unique:
            raise ValueError("an id stands twice")
        chosen = frame.loc[ids].astype(np.float64)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} is not a table of truth for these places: {reason}", "Mend it or take it away", code=Code.TRUTH
        ) from error
    return pa.Table.from_pandas(pd.DataFrame(chosen.reset_index()), preserve_index=False)


def _checksum(table: pa.Table) -> bytes:
    total = sha256()
    for name in table.column_names:
        total.update(f"{name} {table[name].type} {len(table)}\n".encode())
        total.update(repr(table[name].to_pylist()).encode())
    return total.hexdigest().encode()
