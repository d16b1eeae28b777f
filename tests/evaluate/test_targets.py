from __future__ import annotations

import numpy as np
import pandas as pd

from sarpipe.evaluate.targets import Targets, choose_targets

IDS = [f"p{i}" for i in range(50)]


def _truth() -> pd.DataFrame:
    rare = np.zeros(50)
    rare[:3] = 1
    values = np.random.default_rng(0).random(50)
    return pd.DataFrame({"id": IDS, "forest": values, "same": 1.0, "rare": rare, "name": "x"})


def test_columns_that_hardly_vary_or_are_no_numbers_are_not_probed() -> None:
    targets = choose_targets(_truth(), IDS, np.arange(50))
    assert isinstance(targets, Targets)
    assert targets.names == ["forest"]
    assert targets.dropped == ["same", "rare"]


def test_truth_goes_by_id_and_places_without_it_are_left_out() -> None:
    truth = _truth().iloc[::-1]
    truth.loc[truth["id"] == "p7", "forest"] = np.nan
    targets = choose_targets(truth[truth["id"] != "p9"], IDS[5:], np.arange(5, 50))
    assert isinstance(targets, Targets)
    chosen = [IDS[5:][row] for row in targets.rows]
    assert chosen == [place for place in IDS[5:] if place not in ("p7", "p9")]
    np.testing.assert_array_equal(targets.values[:, 0], _truth().set_index("id").loc[chosen, "forest"])


def test_where_nothing_can_be_probed_the_reason_is_given() -> None:
    assert "no truth" in str(choose_targets(None, IDS, np.arange(50)))
    assert "29 places have truth" in str(choose_targets(_truth(), IDS[:29], np.arange(29)))
    assert "in 1 block of 50 km" in str(choose_targets(_truth(), IDS, np.zeros(50, np.intp)))
    assert "in 4 blocks of 50 km" in str(choose_targets(_truth(), IDS, np.arange(50) % 4))
    assert "varies" in str(choose_targets(_truth()[["id", "same"]], IDS, np.arange(50)))
