"""The vectors that are scored: a CSV in the benchmark's form, or GeoParquet that the embed stage wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM
from sarpipe.codes import Code
from sarpipe.embeddings.geoparquet import read_geoparquet
from sarpipe.embeddings.table import some
from sarpipe.errors import DataError, UsageError


@dataclass(frozen=True)
class Vectors:
    """Vectors of some places.

    Attributes:
        ids: Unique.
        values: ``float32 [N, D]``, finite.
    """

    ids: tuple[str, ...]
    values: NDArray[np.float32]

    def rows(self) -> dict[str, int]:
        """Which row each id has."""
        return {place: row for row, place in enumerate(self.ids)}


def read_vectors(path: Path) -> Vectors:
    """Read ``.parquet`` (`sarpipe.embeddings.read_geoparquet`) or ``.csv``.

    A CSV is read as the benchmark reads it: the columns whose names are digits, in the order of these numbers (all but
    ``id`` where there are none); ``.zarr`` and ``.zarr.zip`` are taken off the ids. But where the benchmark puts 0 for
    what is missing or no number, it is refused.

    Raises:
        UsageError: There is no such file, or it is of another kind.
        DataError: It has no column ``id``, an id stands twice, or a value is not a finite number.
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file", "Give embeddings.csv or embeddings.parquet of the embed stage")
    if path.suffix == ".parquet":
        table = read_geoparquet(path)
        return Vectors(table.ids, table.vectors)
    if path.suffix != ".csv":
        raise UsageError(f"{path} is neither .csv nor .parquet", "Give embeddings.csv or embeddings.parquet")
    try:
        frame = pd.read_csv(path, dtype={"id": str}, keep_default_na=False, low_memory=False)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as CSV: {error}", "Its form is id,0,1,...,1023", code=Code.BAD_TABLE
        ) from error
    if "id" not in frame.columns:
        raise DataError(f"{path} has no column id", "Its form is id,0,1,...,1023", code=Code.BAD_TABLE)
    ids = tuple(place.replace(".zarr.zip", "").replace(".zarr", "") for place in frame["id"])
    twice = [place for place, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: the id of {some(twice)} stands more than once", "Give each place one row", code=Code.DUPLICATE_ID
        )
    return Vectors(ids, _values(path, frame, ids))


def check(path: Path, wanted: Iterable[str]) -> list[str]:
    """What the benchmark's rules for a submission find wrong with a CSV, in words; empty if it would be taken.

    The rules (``generate_embeddings/data/submission_utils.py``): a column ``id``, every id of the labels, 1024 columns
    beside it, numbers alone, none missing. And one that its reader (``benchmark/data/embeddings.py``) makes: ids that
    are all numbers are read as numbers, and then ``0000123`` is ``123``, which no label has.

    Raises:
        UsageError: There is no such file.
    """
    if path.suffix != ".csv":
        raise UsageError(f"{path} is no CSV", "The benchmark takes embeddings.csv or embeddings_standardised.csv")
    try:
        read_vectors(path)
    except DataError as error:
        return [error.message]
    problems = []
    # As they stand there: unlike its scorer, its checker takes nothing off the ids and no column for another.
    columns = pd.read_csv(path, nrows=0).columns.drop("id")
    text = pd.read_csv(path, usecols=["id"], dtype=str, keep_default_na=False)["id"]
    missing = sorted(set(wanted) - set(text))
    if missing:
        problems.append(f"{len(missing)} ids of the labels are missing: {some(missing)}")
    if len(columns) != EMBED_DIM:
        others = [name for name in columns if not name.isdigit()]
        said = f", and one is named {others[0]!r}" if others and len(others) < len(columns) else ""
        problems.append(f"there are {len(columns)} columns beside id, not {EMBED_DIM}{said}")
    changed = text[text.to_numpy() != pd.read_csv(path, usecols=["id"])["id"].astype(str).to_numpy()]
    if len(changed):
        problems.append(f"the benchmark reads {len(changed)} ids as other text: {some(changed)}")
    return problems


def _values(path: Path, frame: pd.DataFrame, ids: tuple[str, ...]) -> NDArray[np.float32]:
    digits = sorted((name for name in frame.columns if name.isdigit()), key=int)
    columns = digits or [name for name in frame.columns if name != "id"]
    numbers: NDArray[np.float32] = frame[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    finite = np.isfinite(numbers).all(axis=1)
    if not finite.all():
        bad = [ids[row] for row in np.flatnonzero(~finite)]
        raise DataError(
            f"{path}: {some(bad)} has a value that is no finite number",
            "Embed these places again",
            code=Code.NOT_FINITE,
        )
    return numbers
