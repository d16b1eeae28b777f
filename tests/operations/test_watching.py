import base64
import io
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image
from prefect import flow as plain_flow
from prefect.artifacts import MarkdownArtifact
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import State
from real_server import PrefectServer

from sarpipe.errors import TrainingError
from sarpipe.flows.pipeline import pipeline
from sarpipe.flows.preprocess import preprocess
from sarpipe.flows.train import train
from sarpipe.settings import resolve
from sarpipe.stages.preprocess import StoreReceipt
from sarpipe.stages.step import Step
from sarpipe.tasks.artifact import LiveArtifact, artifact_key, plain, show
from sarpipe.tasks.loss import LossCurve
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.stores import StoreTable

pytestmark = pytest.mark.timeout(900)
FIRST, SECOND, THIRD = (f"ssl4eos12_train_seasonal_data_00000{number}" for number in (1, 2, 3))
TINY = {"train.epochs": 2, "train.batch_size": 4, "device": "cpu"}

Watched = Callable[[State[Any]], dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def artifacts(server: PrefectServer, own_flows: None) -> Watched:
    """The artifacts of a run by the first word of their key."""

    def of(state: State[Any]) -> dict[str, dict[str, Any]]:
        run = {"id": {"any_": [str(state.state_details.flow_run_id)]}}
        found = server.ask("artifacts/filter", {"flow_runs": run})
        return {str(artifact["key"]).partition("-")[0]: artifact for artifact in found if artifact["key"]}

    return of


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nightly")


@pytest.fixture(scope="module")
def preprocessed(own_flows: None, stores: Path, data: Path, scheduler: str) -> State[Any]:
    state: State[Any] = preprocess(str(stores), str(data), dask=scheduler, return_state=True)
    return state


def lines(state: State[Any]) -> list[str]:
    return str(state.message).splitlines()


def log(server: PrefectServer, state: State[Any]) -> list[str]:
    run = {"flow_run_id": {"any_": [str(state.state_details.flow_run_id)]}}
    return [record["message"] for record in server.ask("logs/filter", {"logs": run, "sort": "TIMESTAMP_ASC"})]


def pictured(markdown: str) -> Image.Image:
    found = re.search(r"!\[[^]]+\]\(data:image/webp;base64,([^)]+)\)", markdown)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def test_a_run_that_refuses_a_store_says_which_and_what_to_do(preprocessed: State[Any], data: Path) -> None:
    first, named, then = lines(preprocessed)
    assert preprocessed.is_completed()
    assert first == "4 cubes of 2 stores, 2 of them computed now; 0 places quarantined, 1 stores refused"
    assert named.startswith(f"refused: {SECOND}: ")
    assert "is not a whole zip file" in named
    assert named.endswith(" [broken-archive]")
    assert then.startswith(f"What to do: 'sarpipe quarantine --data {data} --recipe sar'")


def test_a_table_says_how_each_store_is(preprocessed: State[Any], artifacts: Watched) -> None:
    table = artifacts(preprocessed)["stores"]
    rows = json.loads(table["data"])
    assert table["description"] == "3 stores: 1 refused, 2 computed. Times are UTC."
    # What somebody has to look at comes first.
    assert [(row["store"], row["state"], row["cubes"]) for row in rows] == [
        (SECOND, "refused", ""),
        (FIRST, "computed", 2),
        (THIRD, "computed", 2),
    ]
    assert "is not a whole zip file" in rows[0]["reason"]
    assert [row["code"] for row in rows] == ["broken-archive", "", ""]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", row["ended"]) for row in rows)
    assert all(row["seconds"] > 0 for row in rows[1:])


def test_a_few_cubes_are_shown_as_a_small_picture(preprocessed: State[Any], artifacts: Watched) -> None:
    shown = artifacts(preprocessed)["quicklook"]
    assert len(shown["data"]) < 150_000
    assert pictured(shown["data"]).width > 12 * 64


def test_progress_says_how_far_it_is(preprocessed: State[Any], artifacts: Watched) -> None:
    bar = artifacts(preprocessed)["preprocess"]
    assert (bar["type"], bar["data"]) == ("progress", 100.0)
    assert bar["description"].startswith("Stores of recipe sar: 3 of 3: ssl4eos12")


def test_a_run_of_which_all_is_there_shows_its_stores_and_no_picture(
    preprocessed: State[Any], artifacts: Watched, stores: Path, data: Path
) -> None:
    again: State[Any] = preprocess(str(stores), str(data), return_state=True)
    assert artifacts(again)["stores"]["description"].startswith("3 stores: 1 refused, 2 reused")
    assert "quicklook" not in artifacts(again)
    # The latest of each key is what the UI shows: both are of one kind.
    assert artifacts(again)["stores"]["key"] == artifacts(preprocessed)["stores"]["key"]


def test_training_draws_its_loss(preprocessed: State[Any], artifacts: Watched, data: Path) -> None:
    state: State[Any] = train(str(data), overrides=TINY, return_state=True)
    curve = artifacts(state)["loss"]
    assert pictured(curve["data"]).width > 300
    head, _, first, last = curve["data"].splitlines()[-4:]
    assert head.startswith("| after epoch | rankme |")
    assert [row.split("|")[1].strip() for row in (first, last)] == ["1", "2"]
    assert state.result()["folder"] in curve["description"]
    assert artifacts(state)["train"]["data"] == 100.0


def test_the_loss_is_drawn_from_the_first_step_on(
    server: PrefectServer, own_flows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An update may follow another at once.
    monkeypatch.setattr("sarpipe.tasks.loss._EVERY_SECONDS", 0.0)
    monkeypatch.setattr("sarpipe.tasks.artifact._SHARE", float("inf"))
    seen: list[dict[str, Any]] = []

    @plain_flow(name="curved")
    def curved() -> None:
        curve = LossCurve("curved", "Training", 2)
        for step, loss in enumerate([5.0, 4.0, 1.0], 1):
            curve.add(step, 3, loss)
            seen.extend(server.ask("artifacts/filter", {"artifacts": {"key": {"any_": ["curved"]}}}))

    curved()
    assert [curve["description"] for curve in seen] == [f"Training, {step} of 3 steps" for step in (1, 2, 3)]
    assert len({curve["id"] for curve in seen}) == 1
    assert len({pictured(curve["data"]).tobytes() for curve in seen}) == 3


def test_a_pipeline_says_which_stage_failed_why_and_what_to_do(
    preprocessed: State[Any], server: PrefectServer, stores: Path, data: Path
) -> None:
    apart = {**TINY, "train.neighbour_km": 20_000}
    state: State[Any] = pipeline(str(stores), str(data), overrides=apart, return_state=True)
    assert state.is_failed()
    first, do, then = lines(state)
    assert first.startswith("train failed: all 4 places lie within ")
    assert do == "What to do: Set neighbour_km to 0, or add places"
    assert then == "Then: run it again; what was finished is kept"
    with pytest.raises(TrainingError, match="all 4 places"):
        state.result()
    parent = str(state.state_details.flow_run_id)
    runs = server.ask("flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [parent]}}})
    said = [run["state"]["message"] for run in runs if run["state_type"] == "FAILED"]
    assert said == [state.message]


def test_the_log_of_an_error_that_was_foreseen_has_the_words_and_no_traceback(
    server: PrefectServer, own_flows: None, tmp_path: Path
) -> None:
    state: State[Any] = train(str(tmp_path), return_state=True)
    assert lines(state)[0] == f"train failed: there are no cubes of recipe 'sar' below {tmp_path} [not-made]"
    drained(server, state)
    assert not any("Traceback" in message for message in log(server, state))


def test_the_log_of_another_error_has_the_words_first(server: PrefectServer, own_flows: None) -> None:
    @flow(name="careless")
    def careless(number: int) -> NoReturn:
        raise ZeroDivisionError(f"nobody thought of {number}")

    state: State[Any] = careless(0, return_state=True)
    assert lines(state)[0] == "careless failed: ZeroDivisionError: nobody thought of 0 [defect]"
    assert "please report it" in lines(state)[1]
    message = next(message for message in drained(server, state) if "Traceback" in message)
    assert message.startswith("careless failed: ZeroDivisionError")


def drained(server: PrefectServer, state: State[Any]) -> list[str]:
    """The log of a run, once its last line has come."""
    for _ in range(200):
        found = log(server, state)
        if any("Finished in state" in message for message in found):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_a_flow_keeps_its_form_and_its_version() -> None:
    assert {"source", "data", "recipe"} <= set(preprocess.parameters.properties)
    assert "A folder of stores" in preprocess.parameters.properties["source"]["description"]
    assert preprocess.version


def receipt(name: str) -> StoreReceipt:
    counts: dict[str, Any] = {"computed": True, "seconds": 0.5, "places": 64, "quarantined": 0}
    return {"stage": "preprocess", "name": name, "folder": "", "digest": "", **counts}  # type: ignore[typeddict-item]


def test_a_table_of_many_stores_costs_few_requests_and_outlives_the_run(
    server: PrefectServer, artifacts: Watched
) -> None:
    steps = [Step("preprocess", f"store_{number:03d}", None, "", "missing", "", {}) for number in range(398)]
    seen: list[str] = []

    @plain_flow(name="many")
    def many() -> None:
        table = StoreTable("many", steps)
        try:
            for step in steps:
                table.made(receipt(step.name))
                if step is steps[199]:
                    seen.append(
                        server.ask("artifacts/filter", {"artifacts": {"key": {"any_": ["many"]}}})[0]["description"]
                    )
                    raise RuntimeError("it ends here")
        finally:
            table.close()

    state: State[Any] = many(return_state=True)
    # Two hundred stores within the first seconds: no update was due. The end is shown all the same.
    assert seen == ["398 stores: 398 to do. Times are UTC."]
    assert artifacts(state)["many"]["description"] == "398 stores: 198 to do, 200 computed. Times are UTC."


def delete(server: PrefectServer, artifact: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/artifacts/{artifact}", method="DELETE"), timeout=60)


def test_work_goes_on_where_the_server_does_not_take_an_update(server: PrefectServer, own_flows: None) -> None:
    @plain_flow(name="ghost")
    def ghost() -> str:
        live = LiveArtifact(MarkdownArtifact(key="ghost", markdown="first"), 0.0)
        (made,) = server.ask("artifacts/filter", {"artifacts": {"key": {"any_": ["ghost"]}}})
        delete(server, made["id"])
        live.update(MarkdownArtifact(key="ghost", markdown="second"))
        return "went on"

    assert ghost() == "went on"


@pytest.fixture
def between(server: PrefectServer, own_flows: None, flaky: Callable[[str], Any]) -> Iterator[Any]:
    """What stands before the server of these flows and fails as it is told."""
    proxy = flaky(server.url.split("/")[2])
    # A request that fails is given up at once: by itself Prefect asks for a minute.
    with temporary_settings({PREFECT_API_URL: f"http://{proxy.address}/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield proxy


NO_ARTIFACT = "^POST /api/artifacts/$"


@pytest.mark.parametrize("failure", ["500", "503", "reset"])
def test_an_artifact_that_was_not_made_is_made_by_its_next_update(
    server: PrefectServer, artifacts: Watched, between: Any, failure: str
) -> None:
    @plain_flow(name="unseen")
    def unseen() -> None:
        between.fail(failure, failure, of=NO_ARTIFACT)
        assert show(MarkdownArtifact(key="once", markdown="never seen")) is None
        live = LiveArtifact(MarkdownArtifact(key="unseen", markdown="first"), 0.0)
        live.update(MarkdownArtifact(key="unseen", markdown="second"))
        live.update(MarkdownArtifact(key="unseen", markdown="third"))

    state: State[Any] = unseen(return_state=True)
    assert state.is_completed()
    assert [made["data"] for made in artifacts(state).values()] == ["third"]
    assert between.count(NO_ARTIFACT) == 3
    assert sum("does not take what this run would show" in said for said in drained(server, state)) == 2


def test_a_run_that_can_show_nothing_makes_all_the_same(
    preprocessed: State[Any], server: PrefectServer, artifacts: Watched, between: Any, stores: Path, data: Path
) -> None:
    between.fail(*["500"] * 100, of=NO_ARTIFACT)
    state: State[Any] = preprocess(str(stores), str(data), return_state=True)
    assert state.is_completed()
    assert lines(state)[0] == "4 cubes of 2 stores, 0 of them computed now; 0 places quarantined, 1 stores refused"
    assert artifacts(state) == {}
    assert any("does not take what this run would show" in said for said in drained(server, state))


def test_keys_keep_folders_and_recipes_apart(tmp_path: Path) -> None:
    def key(data: str, recipe: str) -> str:
        return artifact_key("stores", resolve(data=tmp_path / data, recipe=recipe), recipe)

    keys = [key(data, recipe) for data in ("a/Nightly Run", "b/Nightly Run") for recipe in ("sar", "original")]
    assert len(set(keys)) == 4
    assert all(re.fullmatch(r"stores-nightly-run-(sar|original)-[0-9a-f]{6}", one) for one in keys)
    assert keys[0] == key("a/Nightly Run", "sar")


def test_text_from_data_is_no_markdown() -> None:
    assert plain("<img src=x> [a](b) `c` *d*") == r"\<img src=x\> \[a\](b) \`c\` \*d\*"
    assert plain(FIRST) == FIRST
