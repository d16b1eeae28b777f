from collections.abc import Callable

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import Encode, evaluate
from sarpipe.evaluate.encoded import encode_all
from sarpipe.evaluate.estimate import Estimate
from sarpipe.evaluate.score import measure

MakeCubes = Callable[..., CubeSet]


def figures_of(cubes: CubeSet, encode: Encode) -> dict[str, Estimate]:
    encoded = encode_all(cubes, {"one": encode}, lambda _: None)
    return measure(cubes, encoded, 1, lambda _: None).scores["one"].figures()


def test_an_encoder_measured_alone_has_the_figures_that_it_has_in_an_evaluation(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode
) -> None:
    cubes = make_cubes(60)
    together = evaluate(cubes, perfect, blind, seed=1)
    alone = figures_of(cubes, blind)
    theirs = together["methods"]["random_weights"]

    assert alone["mean_r2"].as_json() | {"n": 60} == theirs["mean_r2"]
    assert alone["recall_at_1"].as_json() == theirs["retrieval"]["recall_at_1"]
    assert alone["displaced_mrr"].as_json() == theirs["displaced_retrieval"]["mrr"]
    # Paired with another encoder's, as the evaluation pairs them.
    gap = figures_of(cubes, perfect)["mean_r2"] - alone["mean_r2"]
    (difference,) = (
        row for row in together["differences"] if (row["measure"], row["baseline"]) == ("mean_r2", "random_weights")
    )
    assert (gap.value, gap.interval) == (difference["difference"], difference["interval"])


def test_without_truth_the_retrievals_are_left(make_cubes: MakeCubes, blind: Encode) -> None:
    retrievals = {"recall_at_1", "mrr", "displaced_recall_at_1", "displaced_mrr"}
    assert set(figures_of(make_cubes(40, truth=False), blind)) == retrievals
