"""Each boundary between stages is broken on purpose; the error names the stage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sarpipe.errors import DamagedError, DataError
from sarpipe.stages import embed as embed_stage
from sarpipe.stages import straight
from sarpipe.stages.chain import find_earlier
from sarpipe.stages.conservation import check_embedded, check_evaluated, check_set, check_trained
from sarpipe.stages.cube_set import current_set, make_set, plan_set
from sarpipe.stages.embed import make_embeddings, plan_embed
from sarpipe.stages.preprocess import plan_preprocess, unit_receipt
from sarpipe.stages.report import make_report, plan_report
from sarpipe.storage import Artefact, commit, inspect, open_verified


def quiet(*_: Any) -> None:
    pass


@pytest.fixture
def run(fresh: Callable[[], Any]) -> Any:
    run = fresh()
    for store in sorted(run.stores.glob("*_000002*")):
        store.unlink()
    straight.preprocess(run.settings(), str(run.stores), quiet)
    return run


def broken(artefact: Artefact, name: str, data: bytes) -> Artefact:
    """The artefact, committed again by whoever lost something: its checksums are right."""
    files = {file: artefact.path(file).read_bytes() for file in artefact.files} | {name: data}

    def write(folder: Path) -> None:
        for file, content in files.items():
            (folder / file).write_bytes(content)

    return commit(artefact.folder, artefact.meta, write)


def parquet(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    return bytes(buffer.getvalue())


def npy(array: np.ndarray[Any, Any], path: Path) -> bytes:
    np.save(path, array)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["index.parquet", "cubes.npy", "frames.npy", "truth.parquet", "unit.json"])
def test_a_unit_that_lost_a_place_makes_no_set(run: Any, tmp_path: Path, name: str) -> None:
    (step,) = plan_preprocess(run.settings(), str(run.stores))
    unit = inspect(Path(unit_receipt(step)["folder"]))
    path = unit.path(name)
    if name.endswith(".parquet"):
        data = parquet(pq.read_table(path).slice(1))
    elif name.endswith(".npy"):
        data = npy(np.load(path)[1:], tmp_path / "x.npy")
    else:
        data = json.dumps({**json.loads(path.read_bytes()), "places": 6}).encode()
    broken(unit, name, data)
    receipts = [unit_receipt(step)]
    with pytest.raises(DamagedError, match="stage preprocess: the account of the places does not come out"):
        make_set(plan_set(run.settings(), receipts, {}), receipts, {})


def test_a_set_whose_account_does_not_close_is_refused() -> None:
    counts = {"places_in": 3, "places_kept": 2, "places_quarantined": 1, "stores_refused": 0}
    check_set(counts, ["a", "b"])
    for wrong in ({**counts, "places_in": 4}, {**counts, "places_quarantined": 0}, {**counts, "places_kept": 3}):
        with pytest.raises(DamagedError, match="stage preprocess"):
            check_set(wrong, ["a", "b"])
    with pytest.raises(DamagedError, match=r"stage preprocess: .*'a' stands more than once"):
        check_set(counts, ["a", "a"])


def test_a_model_of_more_or_fewer_places_than_were_kept_embeds_nothing(run: Any) -> None:
    settings = run.settings(train__batch_size=2, train__epochs=1)
    cube_set = current_set(settings)
    model = open_verified(Path(straight.later("train", settings, quiet)["folder"]))
    facts = json.loads(model.path("training.json").read_bytes())
    check_trained(model, 5)
    less = broken(model, "training.json", json.dumps({**facts, "places": 4}).encode())
    with pytest.raises(DamagedError, match=r"stage train: .* trained on 4 places, and 5 were kept"):
        make_embeddings(plan_embed(settings, cube_set, less), settings, cube_set, less)
    assert not list((run.data / "embeddings").glob("sar-*"))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda ids, vectors: (ids[1:], vectors[1:]), "3 places were kept, and 2 vectors are of 2 places.*'a'"),
        (lambda ids, vectors: ([*ids, "x"], np.vstack([vectors, vectors[:1]])), "the first that differs is 'x'"),
        (lambda ids, vectors: (ids, vectors[1:]), "2 vectors are of 3 places"),
        (lambda ids, vectors: (["a", "b", "b"], vectors), "'b' stands more than once"),
        (lambda ids, vectors: (ids, vectors * np.array([[1], [np.nan], [1]])), "the embedding of 'b' is not finite"),
    ],
)
def test_embeddings_that_are_not_those_of_the_kept_places_are_refused(
    harm: Callable[[Any, Any], tuple[Any, Any]], said: str
) -> None:
    ids, vectors = ["a", "b", "c"], np.ones((3, 4), np.float32)
    check_embedded(ids, ids[::-1], vectors)
    with pytest.raises(DamagedError, match=f"stage embed: .*{said}"):
        check_embedded(ids, *harm(ids, vectors))


def test_figures_of_other_places_are_not_reported() -> None:
    check_evaluated(5, 5)
    with pytest.raises(DamagedError, match=r"stage evaluate: .* of 4 places, and 5 were kept"):
        check_evaluated(5, 4)


def test_a_vector_that_is_lost_or_not_finite_on_the_way_is_not_exported(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = run.settings(train__batch_size=2, train__epochs=1)
    straight.later("train", settings, quiet)
    opened = embed_stage.open_cubes

    def fewer(*arguments: Any) -> Any:
        places = opened(*arguments)
        return type(places)(places.ids[1:], places.cubes[1:], places.frames[1:], places.index[1:], places.truth)

    with monkeypatch.context() as patch:
        patch.setattr(embed_stage, "open_cubes", fewer)
        with pytest.raises((DamagedError, DataError), match=r"stage (train|embed)"):
            straight.later("embed", settings, quiet)
    embedded = straight.later("embed", settings, quiet)
    assert embedded["places"] == 5
    cube_set, *earlier = current_set(settings), *find_earlier(settings, current_set(settings), "evaluate")
    figures = json.dumps({"places": {"given": 4}}).encode()
    evaluation = commit(run.data / "reports" / "evaluation-0", {}, lambda f: (f / "figures.json").write_bytes(figures))
    with pytest.raises(DamagedError, match=r"stage evaluate: .* of 4 places, and 5 were kept"):
        make_report(plan_report(settings, cube_set, *earlier, evaluation), cube_set, *earlier, evaluation)
