"""The order of places in the files: along the Hilbert curve, whatever the order they are given in."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from sarpipe.embeddings.hilbert import hilbert_distance
from sarpipe.embeddings.table import Embeddings


def along_curve(embeddings: Embeddings, places: NDArray[np.object_]) -> NDArray[np.intp]:
    """The rows ``[N]`` in the order of the Hilbert curve through the centres; unknown positions last, ties by id.

    Args:
        embeddings: The table.
        places: Their footprints ``object [N]``: the centre of a place whose latitude and longitude are not known.
    """
    centre = shapely.get_coordinates(shapely.centroid(_points_for_missing(places)))
    longitude, latitude = (embeddings.index[name].to_numpy(np.float64) for name in ("longitude", "latitude"))
    given = np.isfinite(longitude) & np.isfinite(latitude)
    longitude, latitude = np.where(given, longitude, centre[:, 0]), np.where(given, latitude, centre[:, 1])
    unknown = ~given & shapely.is_missing(places)
    distance = hilbert_distance(longitude, latitude)
    return np.lexsort([np.array(embeddings.ids, dtype=np.str_), distance, unknown])


def _points_for_missing(places: NDArray[np.object_]) -> NDArray[np.object_]:
    return np.where(shapely.is_missing(places), shapely.Point(0, 0), places)
