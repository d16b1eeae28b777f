"""Embeddings as the CSV of NeuCo-Bench and the Embed2Scale challenge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM
from sarpipe.codes import Code
from sarpipe.embeddings.table import Embeddings
from sarpipe.errors import DataError
from sarpipe.standard import Standard


def write_csv(path: Path, embeddings: Embeddings) -> None:
    r"""Write ``id,0,1,...,1023``: one row a place, in the order of the ids, lines ended by ``\n``.

    Each number is the shortest text that reads back as the same float32. The benchmark's reader turns what is
    missing or not a number into 0 without a word (``benchmark/data/embeddings.py``), so it matters that `Embeddings`
    has refused these.

    Raises:
        DataError: An id holds a comma, a quote or a line break, which this form cannot carry.
    """
    order = _by_id(embeddings)
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
                f"an id holds a comma, a quote or a line break: {error}",
                "Name places with letters and digits",
                code=Code.BAD_ID,
            ) from error


def standardised(embeddings: Embeddings) -> Embeddings:
    """The table by id, each dimension with mean 0 and deviation 1 over all its places; 0 where it does not vary.

    NeuCo-Bench scales the whole matrix by one mean and one deviation, so that its probe, of a fixed rate and ten
    epochs, hardly learns from dimensions that vary little. Computed in float64, rounded to float32 at the end; the same
    bits in whatever order the places are given.
    """
    order = _by_id(embeddings)
    index = embeddings.index.iloc[order].reset_index(drop=True)
    vectors = embeddings.vectors[order]
    if len(vectors):
        vectors = Standard.of(vectors)(vectors).astype(np.float32)
    return replace(embeddings, ids=tuple(index["id"]), vectors=vectors, index=index)


def _by_id(embeddings: Embeddings) -> NDArray[np.intp]:
    return np.argsort(np.array(embeddings.ids, dtype=np.str_))
