"""Embedded places, as a notebook holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.embeddings import Embeddings
from sarpipe.errors import UsageError
from sarpipe.notebook.labels import Labels
from sarpipe.notebook.plot import Kind, Plot, draw
from sarpipe.search import Index, Query, by_id, by_vector, find, nearest_to
from sarpipe.search.found import EXACT_MOST, Method
from sarpipe.stages.search import (
    Source,
    checked_cube,
    embed_cube,
    find_source,
    open_index,
    output_folder,
    read_table,
)

_COLUMNS = ("rank", "id", "similarity", "distance_km", "latitude", "longitude", "dates")


def open_embeddings(path: str | Path, *, data: str | Path | None = None) -> Places:
    """Open embeddings: those that were made last below an output folder, or a GeoParquet file that sarpipe wrote.

    Args:
        path: The folder that was given to ``sarpipe run`` as ``--data``, or a ``.parquet`` file.
        data: For a file: the output folder of its model, for `Places.search` by a cube.

    Raises:
        UsageError: There is no such file, or there are no embeddings below the folder.
        DamagedError: They do not match their manifest.
        DataError: The file cannot be read.
    """
    named = str(path)
    is_file = named.endswith(".parquet")
    folder = output_folder((data or ".") if is_file else named)
    source = find_source(folder, named if is_file else None)
    return Places(read_table(source), source, folder)


@dataclass(frozen=True, eq=False)
class Places:
    """N places with their embeddings; made by `open_embeddings`.

    Attributes:
        embeddings: The checked table.
        source: Where it was read.
        data: The output folder in which the model is looked for.
    """

    embeddings: Embeddings
    source: Source
    data: Path

    @property
    def ids(self) -> tuple[str, ...]:
        """Place ids, unique."""
        return self.embeddings.ids

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The embeddings, ``[N, 1024]``, in the order of ``ids``."""
        return self.embeddings.vectors

    @property
    def table(self) -> pd.DataFrame:
        """What is known of the places, a row each with the id as index: position, bounds, dates, orbits, quality."""
        return self.embeddings.index.set_index("id")

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<sarpipe.Places: {len(self):,} places x {self.vectors.shape[1]} dimensions, {self.source.parquet}>"

    def search(
        self,
        id: str | None = None,
        *,
        at: tuple[float, float] | None = None,
        cube: NDArray[np.floating] | None = None,
        vector: NDArray[np.floating] | None = None,
        k: int = 10,
        exclude_km: float | None = None,
        within_km: float | None = None,
        method: Method | None = None,
    ) -> pd.DataFrame:
        """The places most like one place, by the cosine of the standardised embeddings.

        Args:
            id: A place by its id; it is never among the hits. Or one of the three that follow.
            at: The place nearest to this latitude and longitude, degrees.
            cube: ``[12, 64, 64]`` in the units of the recipe, NaN where there is no data; the model that made these
                embeddings embeds it.
            vector: An embedding ``[1024]`` of that model.
            k: How many.
            exclude_km: Leave out places so near to the query.
            within_km: How far from ``at`` a place may be; None: 25.
            method: ``exact``, or ``binary`` (bits, then the best exactly); None: exact up to 20,000 places.

        Returns:
            The best first: columns ``rank, id, similarity, distance_km, latitude, longitude, dates``.

        Raises:
            UsageError: No such place, none so near, no such model, or not one of the four was given.
        """
        if sum(given is not None for given in (id, at, cube, vector)) != 1:
            raise UsageError("a search needs one of id, at, cube and vector", "For example places.search(id='0000012')")
        if k < 1:
            raise UsageError(f"k is {k}", "Ask for one place or more")
        found = find(self._index, self._query(id, at, cube, vector, within_km), k, method=method, exclude_km=exclude_km)
        rows = [{name: getattr(hit, name) for name in _COLUMNS} for hit in found.hits]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def plot(self, color: Labels | None = None, *, kind: Kind = "map") -> Plot:
        """Draw the places, where they are or as their embeddings lie.

        Args:
            color: Values by place id (numbers, or classes), as `sarpipe.probe` takes them, of one column; None: none.
            kind: ``map``, or ``projection``: the first two principal components of the standardised embeddings.

        Returns:
            A picture that a notebook shows; ``save`` writes it to a file.

        Raises:
            UsageError: No place has a value or, in a map, a known position; or there are several columns.
        """
        return draw(self.embeddings, color, kind)

    def to_geopandas(self) -> Any:
        """The table with footprints (OGC:CRS84), a ``geopandas.GeoDataFrame``; geopandas does not come with sarpipe."""
        import geopandas

        from sarpipe.embeddings.footprint import footprints

        return geopandas.GeoDataFrame(self.table, geometry=footprints(self.embeddings.index), crs="OGC:CRS84")

    @cached_property
    def _index(self) -> Index:
        if len(self) <= EXACT_MOST:
            return Index.of_table(self.embeddings)
        return open_index(self.source, self.data, lambda _: None)

    def _query(
        self,
        id: str | None,
        at: tuple[float, float] | None,
        cube: NDArray[np.floating] | None,
        vector: NDArray[np.floating] | None,
        within_km: float | None,
    ) -> Query:
        if id is not None:
            return by_id(self._index, str(id))
        if at is not None:
            return nearest_to(self._index, *at, within_km)[0]
        if cube is not None:
            embedded = embed_cube(self.source, self.data, checked_cube(cube))
            return by_vector(self._index, embedded, "the cube")
        return by_vector(self._index, np.asarray(vector), "the vector")
