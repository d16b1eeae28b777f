from __future__ import annotations

import pytest

from sarpipe.evaluate.claims import DECISIVE, LADDER, rung


def _differences(**changed: tuple[float, float] | None) -> list[dict[str, object]]:
    """Every baseline beaten on everything, but for what is changed."""
    names = [name for names in LADDER for name in names]
    rows = [{"measure": m, "baseline": n, "interval": [0.1, 0.2]} for n in names for m in DECISIVE]
    for row in rows:
        if f"{row['baseline']}_{row['measure']}" in changed:
            row["interval"] = changed[f"{row['baseline']}_{row['measure']}"]
    return rows


@pytest.mark.parametrize(
    ("changed", "reached"),
    [
        ({}, 4),
        ({"random_convolutions_displaced_mrr": (-0.1, 0.2)}, 3),
        ({"random_weights_mean_r2": (-0.2, -0.1)}, 2),
        ({"pca_displaced_recall_at_1": (0.0, 0.1)}, 1),
        ({"mean_pool_mean_r2": (-0.1, 0.1), "random_convolutions_displaced_mrr": (-0.1, 0.2)}, 0),
        ({"random_vectors_displaced_mrr": None}, None),
    ],
)
def test_a_rung_is_reached_when_all_below_it_is_beaten_on_everything(changed: dict, reached: int | None) -> None:
    assert rung(_differences(**changed)) == reached


def test_without_a_probe_the_ladder_stands_on_the_retrieval_and_without_baselines_on_nothing() -> None:
    retrieval = [row for row in _differences() if row["measure"] != "mean_r2"]
    assert rung(retrieval) == 4
    assert rung([row for row in retrieval if row["baseline"] != "random_convolutions"]) is None
    assert rung([]) is None


def test_single_targets_decide_nothing() -> None:
    lost = [{"measure": "r2:x", "baseline": "pca", "interval": [-1, -0.5]}]
    assert rung(_differences() + lost) == 4


def test_the_retrieval_on_one_grid_of_pixels_is_told_and_decides_nothing() -> None:
    lost = [{"measure": measure, "baseline": "pca", "interval": [-1, -0.5]} for measure in ("recall_at_1", "mrr")]
    assert rung(_differences() + lost) == 4
