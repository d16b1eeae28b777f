"""Embeddings as the CSV of NeuCo-Bench and the Embed2Scale challenge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from sarpipe.channels import EMBED_DIM
from sarpipe.embeddings.table import Embeddings
from sarpipe.errors import DataError


def write_csv(path: Path, embeddings: Embeddings) -> None:
    r"""Write ``id,0,1,...,1023``: one row a place, in the order of the ids, lines ended by ``\n``.

    Each number is the shortest text that reads back as the same float32. The benchmark's reader turns what is
    missing or not a number into 0 without a word (``benchmark/data/embeddings.py``), so it matters that `Embeddings`
    has refused these.

    Raises:
        DataError: An id holds a comma, a quote or a line break, which this form cannot carry.
    """
    order = np.argsort(np.array(embeddings.ids, dtype=np.str_))
    names = ["id", *(str(dimension) for dimension in range(EMBED_DIM))]
    ids = pa.array([embeddings.ids[i] for i in order], pa.string())
    by_dimension = np.ascontiguousarray(embeddings.vectors[order].T)
    table = pa.table([ids, *(pa.array(values) for values in by_dimension)], names=names)
    # pyarrow puts the names of the columns in quotes, so the first line is ours.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        file.write((",".join(names) + "\n").encode())
        try:
            pa.csv.write_csv(table, file, options)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"an id holds a comma, a quote or a line break: {error}", "Name places with letters and digits"
            ) from error
