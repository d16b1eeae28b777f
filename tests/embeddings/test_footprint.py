from __future__ import annotations

from collections.abc import Callable

import pytest
import shapely
from pyproj import Geod, Transformer

from sarpipe.embeddings import Embeddings
from sarpipe.embeddings.footprint import footprints


def test_a_footprint_is_the_square_of_the_place_on_the_ground(embeddings: Embeddings) -> None:
    for name in ("sydney", "munich"):
        row = embeddings.index.set_index("id").loc[name]
        place = footprints(embeddings.index)[embeddings.ids.index(name)]
        area, _ = Geod(ellps="WGS84").geometry_area_perimeter(place)
        assert place.geom_type == "Polygon"
        assert place.exterior.is_ccw
        # Counterclockwise gives a positive area; the scale of UTM is within 0.1 % of 1.
        assert area == pytest.approx(2640.0**2, rel=2e-3)
        assert place.contains(shapely.Point(row.longitude, row.latitude))


def test_without_bounds_the_centre_and_without_a_centre_nothing(embeddings: Embeddings) -> None:
    nowhere, _, _, centre = footprints(embeddings.index)
    assert nowhere is None
    assert centre == shapely.Point(12.5, 41.9)


def test_an_unknown_projection_leaves_the_centre(make_embeddings: Callable[..., Embeddings]) -> None:
    index = make_embeddings([("munich", 11.6, 48.1, 32632)]).index.assign(crs=999_999)
    assert footprints(index)[0] == shapely.Point(11.6, 48.1)


@pytest.mark.parametrize("shift", [0.0, 500.0, -900.0])
def test_a_footprint_across_the_antimeridian_has_a_part_on_either_side(
    make_embeddings: Callable[..., Embeddings], shift: float
) -> None:
    index = make_embeddings([("fiji", -180.0, -16.8, 32701)]).index
    index[["west", "east"]] += shift
    place = footprints(index)[0]
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(place)
    assert place.geom_type == "MultiPolygon"
    assert place.is_valid
    assert all(part.exterior.is_ccw for part in place.geoms)
    assert area == pytest.approx(2640.0**2, rel=5e-3)
    eastern, western = sorted(place.geoms, key=lambda part: -part.bounds[0])
    assert eastern.bounds[2] == 180
    assert western.bounds[0] == -180
    # West of the antimeridian lies what is at longitudes near 180.
    assert eastern.area / place.area == pytest.approx((1320 - shift) / 2640, abs=0.01)


def test_a_footprint_beside_the_antimeridian_is_not_cut(make_embeddings: Callable[..., Embeddings]) -> None:
    x, _ = Transformer.from_crs(4326, 32701, always_xy=True).transform(-180.0, -16.8)
    index = make_embeddings([("fiji", -179.9, -16.8, 32701)]).index
    assert index["west"][0] > x
    place = footprints(index)[0]
    assert place.geom_type == "Polygon"
    assert place.bounds[2] < -179


def test_a_place_around_the_pole_falls_back_to_its_centre(make_embeddings: Callable[..., Embeddings]) -> None:
    index = make_embeddings([("pole", 0.0, 89.999, 32661)]).index
    place = footprints(index)[0]
    assert place == shapely.Point(0.0, 89.999)
