from __future__ import annotations

import numpy as np
import pandas as pd

from sarpipe.evaluate.baselines.position import position


def _index(
    latitude: list[float], longitude: list[float], dates: list[list[str]], passes: list[list[str]] | None = None
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "latitude": latitude,
            "longitude": longitude,
            "dates": [[np.datetime64(date) for date in of_place] for of_place in dates],
            "orbit_passes": passes or [["ascending"] * len(of_place) for of_place in dates],
        }
    )


def test_distance_is_that_on_the_ground_and_the_year_is_a_circle() -> None:
    found = position(
        _index([0, 0, 90, 60], [179.9, -179.9, 13, 0], [["2020-12-31"] * 4, ["2021-01-01"] * 4, ["2020-07-01"] * 4, []])
    )
    assert found.shape == (4, 12)
    np.testing.assert_allclose(np.linalg.norm(found[:, :3], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.degrees(np.arccos(found[0, :3] @ found[1, :3])), 0.2, atol=0.02)
    np.testing.assert_allclose(found[2, :3], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found[3, :3], [0.5, 0, np.sqrt(3) / 2], atol=1e-6)
    assert np.abs(found[0, 3:] - found[1, 3:]).max() < 0.03
    assert (found[:, 11] == 1).all()
    assert (found[2, 3:7] < -0.99).all()


def test_what_is_not_known_is_the_mean_of_those_that_know() -> None:
    found = position(
        _index([10, 20, np.nan], [5, 5, 5], [["2020-02-01", "2020-03-01"], ["2020-04-01", "NaT"], ["NaT", "NaT"]])
    )
    np.testing.assert_allclose(found[2, :3], found[:2, :3].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found[2, [3, 7]], found[:2][:, [3, 7]].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found[1:, [4, 8]], found[[0, 0]][:, [4, 8]])
    assert not found[:, [5, 6, 9, 10]].any()
    assert position(_index([], [], [])).shape == (0, 12)


def test_the_side_from_which_a_place_was_seen_is_the_share_of_ascending_orbits() -> None:
    dates = [["2020-02-01", "2020-03-01"]] * 3
    passes = [["ascending", "descending"], ["unknown", "descending"], ["unknown", "unknown"]]
    assert position(_index([1, 2, 3], [1, 2, 3], dates, passes))[:, 11].tolist() == [0.5, 0, 0.25]
