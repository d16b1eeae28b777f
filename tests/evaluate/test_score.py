from collections.abc import Callable

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import Encode, evaluate
from sarpipe.evaluate.score import score

MakeCubes = Callable[..., CubeSet]


def test_it_is_what_the_evaluation_says(make_cubes: MakeCubes, perfect: Encode, blind: Encode) -> None:
    cubes = make_cubes(60)
    figures = evaluate(cubes, perfect, blind, seed=1)
    found = score(cubes, blind, seed=1)
    theirs = figures["methods"]["random_weights"]

    assert found["mean_r2"].as_json() == theirs["mean_r2"]
    assert found["recall_at_1"].as_json() == theirs["retrieval"]["recall_at_1"]
    assert found["mrr"].as_json() == theirs["retrieval"]["mrr"]
    # Paired with another encoder's, as the evaluation pairs them.
    gap = score(cubes, perfect, seed=1)["mean_r2"] - found["mean_r2"]
    (difference,) = (
        row for row in figures["differences"] if (row["measure"], row["baseline"]) == ("mean_r2", "random_weights")
    )
    assert (gap.value, gap.interval) == (difference["difference"], difference["interval"])


def test_without_truth_the_retrieval_is_left(make_cubes: MakeCubes, blind: Encode) -> None:
    assert set(score(make_cubes(40, truth=False), blind)) == {"recall_at_1", "mrr"}
