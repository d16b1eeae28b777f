from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from sarpipe.cubes import CubeSet
from sarpipe.report.explorer.table import place_table


def unpack(column: Mapping[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(column["base64"]), column["type"])


def test_the_table_says_what_the_index_says(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(20)
    places.index.at[3, "dates"] = [np.datetime64("2021-03-01T23:59:59"), np.datetime64("NaT")]
    places.index.at[3, "orbit_passes"] = ["unknown", "ascending"]
    places.index.loc[4, "latitude"] = np.nan
    vectors = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    table = json.loads(json.dumps(place_table(places, vectors), allow_nan=False))
    assert table["ids"] == list(places.ids)
    np.testing.assert_array_equal(unpack(table["latitude"]), places.index["latitude"].astype(np.float32))
    counts, days = unpack(table["dates"]), unpack(table["days"]).reshape(20, 4)
    assert list(counts[:5]) == [4, 4, 4, 2, 4]
    assert list(days[3]) == [(pd.Timestamp("2021-03-01") - pd.Timestamp(0)).days, 65535, 65535, 65535]
    assert list(days[0]) == [(date - np.datetime64(0, "D")).astype(int) for date in places.index["dates"][0]]
    names, codes = table["passes"]["names"], unpack(table["passes"]["codes"]).reshape(20, 4)
    assert [names[code] for code in codes[3, :2]] == ["unknown", "ascending"]
    assert [names[code] for code in codes[0]] == places.index["orbit_passes"][0]
    assert list(unpack(table["orbits"])[:4]) == [7, 80, 7, 7]
    assert list(unpack(table["valid_by_date"])[:4]) == [50, 100, 100, 100]
    bits = unpack(table["flags"]["bits"])
    assert [name for bit, name in enumerate(table["flags"]["names"]) if bits[0] >> bit & 1] == [
        "mixed passes",
        "partly valid",
    ]
    assert places.truth is not None
    shares = places.truth[["fraction_water", "fraction_built_up"]].to_numpy()
    names, codes = table["class"]["names"], unpack(table["class"]["codes"])
    assert [names[code] for code in codes] == [["water", "built up"][place] for place in shares.argmax(axis=1)]
    by_name = {value["name"]: unpack(value) for value in table["values"]}
    np.testing.assert_allclose(by_name["x"], places.truth["x"], atol=1e-6)
    assert unpack(table["neighbours"]["rows"]).shape == (20 * 6,)
    assert np.isnan(unpack(table["neighbours"]["km"])[4 * 6 : 5 * 6]).all()


def test_what_is_not_known_of_all_places_is_absent(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(2, truth=False)
    index = places.index[["id", "latitude", "longitude", "dates", "orbit_passes"]]
    bare = CubeSet(places.ids, places.cubes, places.frames, index, None)
    table = place_table(bare, np.eye(2, 8, dtype=np.float32))
    assert table["class"] is table["store"] is table["flags"] is table["valid"] is None
    assert "orbits" not in table
    assert [value["name"] for value in table["values"]] == ["mean VV (dB)"]
    assert table["neighbours"]["count"] == 1


def test_own_labels_colour_and_class_the_places(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(4, truth=False)
    ids = list(places.ids)
    labels = pd.DataFrame({"id": ids[::-1], "crop": ["rye", None, "oat", "rye"], "yield": [4.0, 3.0, np.nan, 1.0]})
    table = place_table(places, np.eye(4, 8, dtype=np.float32), labels)
    names, codes = table["class"]["names"], unpack(table["class"]["codes"])
    assert [names[code] for code in codes] == ["rye", "oat", "not known", "rye"]
    by_name = {value["name"]: unpack(value) for value in table["values"]}
    np.testing.assert_array_equal(by_name["yield"], np.float32([1, np.nan, 3, 4]))
