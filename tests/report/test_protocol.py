from __future__ import annotations

import re
from typing import Any

from sarpipe.report.protocol import labels_section, protocol_section
from sarpipe.report.robustness import robustness_section


def figure(value: float) -> dict[str, Any]:
    return {"value": value, "interval": [value - 0.1, value + 0.1]}


def method(value: float) -> dict[str, Any]:
    return {
        "mean_r2": figure(value),
        "random_split": {"mean_r2": figure(value + 0.2), "optimism": figure(0.2), "n": 90},
        "knn": {"5": figure(0.31), "20": figure(0.32), "n": 90},
        "hard_retrieval": {"recall_at_1": figure(0.41), "mrr": figure(0.42), "n": 70, "chance": 0.125},
        "class_precision": {"value": figure(0.51), "n": 80, "chance": 0.25},
        "diagnostics": {"alignment": 0.1, "uniformity": -2.0, "alpha_req": None, "lidar": 12.3, "correlation": 0.2,
                        "dead": 3, "duplicates": 4, "n": 90},
    }  # fmt: skip


def test_every_table_says_of_how_many_places_and_beside_what() -> None:
    page = protocol_section(
        {
            "methods": {"pca": method(0.3), "sarpipe": method(0.6)},
            "places": {"probed": 90, "blocks": 12},
            "permuted_labels": {**figure(-0.01), "n": 90},
        }
    )
    for words in (
        "90 places in 12 blocks",
        "0.600",
        "0.800",
        "70 queries",
        "80 places have a class",
        "0.125",
        "−0.010",
    ):
        assert words in page
    assert page.index("sarpipe embedding") < page.index("PCA")
    assert "Nothing was measured" in protocol_section({})


def test_labels_are_named_for_what_they_are_and_what_is_not_measured_says_why() -> None:
    columns = {
        "share <1>": {"kind": "quantity", "n": 24, "blocks": 5, "notes": ["5 blocks are few"],
                      "measures": {"R²": {"sarpipe": {**figure(0.4), "random_split": 0.777}}}},
        "rare": {"kind": "quantity", "n": 3, "blocks": 3, "notes": ["not measured: 3 places have it, 20 are needed"]},
    }  # fmt: skip
    page = labels_section({"labels": [{"source": "labels a.csv", "rows": 30, "known": 24, "columns": columns}]})
    for words in ("labels a.csv: 24 of its 30", "share &lt;1&gt;: 24 places in 5 blocks", "0.777", "Not measured: 3"):
        assert words in page
    assert labels_section({"labels": []}) == ""


def test_a_curve_does_not_hide_what_is_far_below_it() -> None:
    levels = [
        {"level": level, "methods": {name: {"mean_r2": figure(r2), "recall_at_1": figure(0.8), "cosine": 0.9}
                                     for name in ("pca", "sarpipe")}}
        for level, r2 in (("none", 0.7), ("VV", -3.0))
    ]  # fmt: skip
    page = robustness_section({"n": 50, "of": 90, "probed": 50, "kinds": {"missing": levels}})
    assert "50 places disturbed, drawn from 90; 50 of them probed" in page
    assert "stands at the lower edge" in page
    assert "−3.000" in page
    assert len(re.findall("<svg", page)) == 2
    assert "not measured" in robustness_section(None)
