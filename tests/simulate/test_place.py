"""What is planted in a place."""

import numpy as np
import pytest
from pyproj import Geod, Transformer

from sarpipe.simulate import simulate_place
from sarpipe.simulate.acquisition import acquisitions
from sarpipe.simulate.place import UNSORTED_SHARE, WEDGE_SHARE
from sarpipe.ssl4eo.product import orbit_pass, parse_product

FRACTIONS = [f"fraction_{name}" for name in ("water", "forest", "crop", "grass", "built")]


@pytest.fixture(scope="module")
def many():
    """A whole store."""
    return [simulate_place(3, 1, place) for place in range(64)]


def test_the_same_arguments_give_the_same_place_and_any_other_another():
    first, again = simulate_place(5, 2, 7), simulate_place(5, 2, 7)

    assert first.db.tobytes() == again.db.tobytes()
    assert (first.file_ids, first.truth) == (again.file_ids, again.truth)
    for other in ((6, 2, 7), (5, 3, 7), (5, 2, 8)):
        assert simulate_place(*other).db.tobytes() != first.db.tobytes()


def test_truth_is_finite_and_in_range_and_the_fractions_sum_to_one(many):
    for place in many:
        assert np.isfinite(list(place.truth.values())).all()
        assert sum(place.truth[name] for name in FRACTIONS) == pytest.approx(1)
        assert all(0 <= place.truth[name] <= 1 for name in FRACTIONS)
        assert 0 <= place.truth["season_amplitude_db"] < 9
        assert 3 <= place.truth["texture_scale_px"] <= 24
        assert 4 < place.truth["field_size_px"] < 60


@pytest.mark.parametrize("name", [*FRACTIONS, "season_amplitude_db", "texture_scale_px", "field_size_px"])
def test_truth_varies_between_places(many, name):
    values = np.array([place.truth[name] for place in many])

    assert values.std() > 0.3 * values.mean()


def test_products_have_plausible_tracks_and_dates_three_months_apart(many):
    for place in many:
        products = [parse_product(file_id) for file_id in place.file_ids]
        starts = np.array([product.start for product in products])
        assert {len(file_id) for file_id in place.file_ids} == {67}
        assert (place.times == np.sort(starts)).all()
        assert (np.diff(place.times) > np.timedelta64(55, "D")).all()
        assert {start.astype("datetime64[Y]").astype(int) + 1970 for start in starts} <= {2019, 2020, 2021}
        # One track, one time of the day: a place is seen from at most two.
        tracks = {(product.relative_orbit, str(product.start)[11:16]) for product in products}
        assert len({track for track, _ in tracks}) <= 2
        assert len(tracks) <= 2


@pytest.mark.parametrize(
    ("latitude", "longitude", "orbit"),
    [(30.46, 73.31, 107), (10.34, -1.60, 147), (26.76, 93.75, 77), (3.21, 45.41, 116), (38.25, -0.68, 110)],
)
def test_tracks_are_those_on_which_real_places_were_seen(latitude, longitude, orbit):
    # Location 0000200 of SSL4EO-S12, and Sen1Floods11 in Ghana, India, Somalia and Spain.
    rng = np.random.default_rng(0)

    dates = [date for _ in range(30) for date in acquisitions(rng, latitude, longitude, mixed_missions=False)]

    assert orbit in {parse_product(date.file_id).relative_orbit for date in dates}
    assert {29 < date.incidence < 45 for date in dates} == {True}


@pytest.mark.parametrize(("number", "start"), [(32904, "2020-06-07T01:08:00"), (34195, "2020-09-03T13:12:12")])
def test_orbit_numbers_agree_with_real_products(many, number, start):
    # The date fixes the number, 175 orbits every 12 days.
    products = [file_id for place in many for file_id in place.file_ids if file_id.startswith("S1A")]

    for file_id in products:
        days = (parse_product(file_id).start - np.datetime64(start, "us")) / np.timedelta64(86400 * 10**6, "us")
        assert int(file_id.split("_")[6]) - number == pytest.approx(days * 175 / 12, abs=1)


def test_both_passes_occur_and_agree_with_the_local_time(many):
    passes = {orbit_pass(time, place.location.longitude) for place in many for time in place.times}

    assert passes == {"ascending", "descending"}


def test_the_grid_lies_where_the_coordinates_say(many):
    for place in many:
        where = place.location
        to_utm = Transformer.from_crs(4326, where.crs, always_xy=True)
        easting, northing = to_utm.transform(where.longitude, where.latitude)
        assert easting == pytest.approx(where.x.mean(), abs=0.01)
        assert northing == pytest.approx(where.y.mean(), abs=0.01)
        assert (np.diff(where.x) == 10).all()
        assert (np.diff(where.y) == -10).all()
        # The zone is 6 degrees wide.
        assert abs(where.longitude - (-183 + 6 * (where.crs % 100))) <= 3
        assert (where.crs // 100 == 326) == (where.latitude >= 0)


def test_some_places_are_closer_than_5_km_and_none_overlap(many):
    latitude = np.array([place.location.latitude for place in many])
    longitude = np.array([place.location.longitude for place in many])
    i, j = np.triu_indices(len(many), 1)
    distance = Geod(ellps="WGS84").inv(longitude[i], latitude[i], longitude[j], latitude[j])[2]

    close = set(i[distance < 5000]) | set(j[distance < 5000])

    assert 10 <= len(close) < 64
    assert distance.min() > 2640 * 0.99


def test_a_small_share_is_cut_by_the_border_of_the_swath_on_one_date(many, places):
    missing = np.stack([np.isnan(place.db).mean(axis=(1, 2, 3)) for place in many + places])
    cut = missing.max(axis=1) > 0

    assert 0 < cut.mean() < upper_share(WEDGE_SHARE, len(cut))
    assert ((missing > 0).sum(axis=1) <= 1).all()
    assert missing.max() < 0.5
    for place in (place for place, is_cut in zip(many + places, cut, strict=True) if is_cut):
        nan = np.isnan(place.db)
        assert (nan[:, 0] == nan[:, 1]).all()


def test_a_small_share_has_its_bands_in_the_order_of_the_names_and_not_of_time(many, places):
    unsorted = np.array([list(p.file_ids) != sorted(p.file_ids, key=lambda f: f[17:32]) for p in many + places])

    assert 0 < unsorted.mean() < upper_share(UNSORTED_SHARE, len(unsorted))
    for place in (place for place, is_unsorted in zip(many + places, unsorted, strict=True) if is_unsorted):
        assert list(place.file_ids) == sorted(place.file_ids)
        assert (place.times == np.sort(place.times)).all()


def upper_share(share, count):
    """Four deviations of a binomial above the share."""
    return share + 4 * np.sqrt(share * (1 - share) / count)


def test_the_season_shows_over_the_dates_and_more_where_more_is_planted(many):
    # Change of the smoothed VH over the dates, beyond that of the whole place (soil moisture), follows the truth.
    change = []
    for place in many:
        vh = place.db[:, 1].astype(np.float32).reshape(4, 33, 8, 33, 8).mean(axis=(2, 4))
        vh = vh - np.nanmedian(vh, axis=(1, 2), keepdims=True)
        change.append(np.nanmean(np.nanstd(vh, axis=0)))
    truth = np.array([place.truth["season_amplitude_db"] for place in many])
    little_water = np.array([place.truth["fraction_water"] < 0.1 for place in many])

    assert np.corrcoef(np.array(change)[little_water], truth[little_water])[0, 1] > 0.6


def test_a_place_is_recognised_on_another_date(many):
    # 264 m means of two dates, with the level of the date removed: nearest neighbour over all places. Chance is 1/64.
    def signature(place, date):
        image = np.nan_to_num(place.db[date].astype(np.float32), nan=-15)[:, :260, :260]
        coarse = image.reshape(2, 26, 10, 26, 10).mean(axis=(2, 4))
        flat = (coarse - coarse.mean(axis=(1, 2), keepdims=True)).ravel()
        return flat / np.linalg.norm(flat)

    similarity = np.stack([signature(p, 0) for p in many]) @ np.stack([signature(p, 2) for p in many]).T

    assert (similarity.argmax(axis=1) == np.arange(64)).mean() > 0.8
