import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import Artifact, TaskRun
from prefect.exceptions import ParameterTypeError
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry, State

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.flows.pipeline import pipeline
from sarpipe.flows.preprocess import preprocess
from sarpipe.flows.report import report
from sarpipe.runs.record import names, read
from sarpipe.stages.places import load_cubes
from sarpipe.storage import commit, inspect, open_verified
from sarpipe.tasks.policy import OPTIONS

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY = {"train.epochs": 1, "train.batch_size": 4, "device": "cpu"}
FIRST, SECOND = (f"ssl4eos12_train_seasonal_data_00000{number}" for number in (1, 2))


def run_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


def task_runs(flow_run: UUID) -> dict[str, TaskRun]:
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
    return {run.name: run for run in runs}


def artifacts(*flow_runs: UUID) -> list[Artifact]:
    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=list(flow_runs)))
        )


def artifact_types(flow_run: UUID) -> Counter[str]:
    return Counter(artifact.type for artifact in artifacts(flow_run) if artifact.type)


@pytest.fixture(scope="module")
def first_run(
    prefect_server: None, small_stores: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], State[Any]]:
    """The parameters of a pipeline, and the final state of its first run."""
    parameters = {
        "source": str(small_stores),
        "data": str(tmp_path_factory.mktemp("data")),
        "overrides": TINY,
        "dask": scheduler,
    }
    return parameters, pipeline(**parameters, return_state=True)


def test_the_pipeline_ends_with_a_page(first_run: tuple[dict[str, Any], State[Any]]) -> None:
    _, state = first_run
    result = state.result()
    assert state.is_completed()
    assert sum(unit["computed"] for unit in result["preprocess"]["units"]) == 2
    assert result["embed"]["places"] == 10
    assert "<html" in (Path(result["report"]["folder"]) / "report.html").read_text()


def test_a_pipeline_is_one_run_in_the_log(first_run: tuple[dict[str, Any], State[Any]]) -> None:
    parameters, _ = first_run
    data = Path(parameters["data"])
    record = read(data, names(data)[-1])
    assert (record.header["command"], record.state, record.places) == ("run", "completed", 10)
    assert [(stage["stage"], stage["state"]) for stage in record.stages] == [
        (stage, "computed") for stage in ("preprocess", "train", "embed", "evaluate", "report")
    ]
    assert sorted((unit["name"], unit["state"], unit["tries"]) for unit in record.units) == [
        (FIRST, "computed", 1),
        (SECOND, "computed", 1),
    ]


def test_a_store_has_a_task_run_of_its_name(first_run: tuple[dict[str, Any], State[Any]]) -> None:
    parameters, _ = first_run
    state = preprocess(**parameters, return_state=True)
    runs = task_runs(run_id(state))
    assert set(runs) == {f"preprocess {FIRST}", f"preprocess {SECOND}", "collect cubes"}
    assert artifact_types(run_id(state)) == {"progress": 1, "table": 2}


def test_a_second_run_computes_nothing(first_run: tuple[dict[str, Any], State[Any]]) -> None:
    parameters, first = first_run
    again = pipeline(**parameters)
    assert not any(unit["computed"] for unit in again["preprocess"]["units"])
    for stage in ("train", "embed", "evaluate", "report"):
        assert again[stage] == {**first.result()[stage], "computed": False, "seconds": 0.0}


@pytest.fixture
def remembered(results: Path, tmp_path: Path) -> Iterator[Path]:
    """What Prefect has kept, to be damaged: at the end it is as it was."""
    shutil.copytree(results, tmp_path / "kept")
    yield results
    shutil.rmtree(results)
    shutil.copytree(tmp_path / "kept", results)


def harm(results: Path, data: str, wrong: dict[str, Any]) -> list[str]:
    """Have Prefect's records of what lies in a data folder say something else, as good JSON; their stages."""
    harmed = []
    for record in (path for path in results.rglob("*") if path.is_file()):
        document = json.loads(record.read_bytes())
        receipt = json.loads(document.get("result", "null"))
        if isinstance(receipt, dict) and str(receipt.get("folder")).startswith(data):
            harmed.append(receipt["stage"])
            document["result"] = json.dumps({**receipt, **{name: wrong[name] for name in wrong if name in receipt}})
            record.write_text(json.dumps(document))
    return harmed


@pytest.mark.parametrize(
    "wrong",
    [
        {"places": 155, "places_kept": 155, "quarantined": 1, "steps": 7, "claims": ["it is the best"]},
        {"computed": True, "digest": "0" * 64, "folder": "/nowhere/sar-0123456789ab"},
        {"folder": None},
    ],
    ids=["numbers", "folder", "nothing"],
)
def test_what_prefect_remembers_is_not_believed(
    first_run: tuple[dict[str, Any], State[Any]], remembered: Path, wrong: dict[str, Any]
) -> None:
    parameters, first = first_run
    harmed = harm(remembered, parameters["data"], wrong)
    assert Counter(harmed) == {"preprocess": 3, "train": 1, "embed": 1, "evaluate": 1, "report": 1}
    expected = first.result()
    for _ in range(2):
        again = pipeline(**parameters)
        for stage in ("train", "embed", "evaluate", "report"):
            assert again[stage] == {**expected[stage], "computed": False, "seconds": 0.0}
        found = again["preprocess"]
        of_set = expected["preprocess"]["cube_set"]
        assert found["cube_set"] == {**of_set, "computed": False, "seconds": 0.0}
        assert [{**unit, "seconds": 0.0} for unit in found["units"]] == [
            {**unit, "computed": False, "seconds": 0.0} for unit in expected["preprocess"]["units"]
        ]


def retried(state: State[Any], parameters: dict[str, Any]) -> State[Any]:
    """What the button Retry of the UI does: the same flow run, again."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id(state), AwaitingRetry(), force=True)
        flow_run = client.read_flow_run(run_id(state))
    again: State[Any] = run_flow(pipeline, flow_run=flow_run, parameters=parameters, return_type="state")  # type: ignore[assignment]
    return again


def test_a_retry_looks_at_the_files_and_not_at_what_prefect_remembers(
    first_run: tuple[dict[str, Any], State[Any]],
) -> None:
    parameters, first = first_run
    page = Path(first.result()["report"]["folder"])
    cube_set = Path(first.result()["preprocess"]["cube_set"]["folder"])
    unit = Path(first.result()["preprocess"]["units"][0]["folder"])
    for folder in (page, cube_set, unit):
        shutil.rmtree(folder)
    (cube_set.parent / "current.json").unlink()
    state = retried(first, parameters)
    assert state.is_completed()
    assert (page / "report.html").is_file()
    assert (cube_set / "index.parquet").is_file()
    assert (cube_set.parent / "current.json").is_file()
    assert (unit / "cubes.npy").is_file()


def test_a_unit_that_was_made_again_with_other_bytes_is_taken_as_it_is(
    first_run: tuple[dict[str, Any], State[Any]], tmp_path: Path
) -> None:
    parameters, _ = first_run
    parameters = {**parameters, "data": str(tmp_path / "data")}
    unit = Path(preprocess(**parameters)["units"][0]["folder"])
    # As a later version of a library would: the same key, other bytes.
    artefact = inspect(unit)
    shutil.copytree(unit, tmp_path / "old")

    def write(folder: Path) -> None:
        for name in artefact.files:
            shutil.copy(tmp_path / "old" / name, folder / name)
        (folder / "unit.json").write_text(json.dumps(json.loads((folder / "unit.json").read_text()), indent=2))

    remade = commit(unit, artefact.meta, write)
    assert remade.digest != artefact.digest
    again = preprocess(**parameters)
    assert again["units"][0]["digest"] == remade.digest
    assert len(load_cubes(open_verified(Path(again["cube_set"]["folder"]))).ids) == 10


def test_each_stage_leaves_its_artifacts(first_run: tuple[dict[str, Any], State[Any]]) -> None:
    _, state = first_run
    of_pipeline = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id(state)]))
    with get_client(sync_client=True) as client:
        stages = client.read_flow_runs(flow_run_filter=of_pipeline)
    # A key is the kind, then the folder, the recipe or preset, and a hash.
    made = artifacts(run_id(state), *(stage.id for stage in stages))
    found = {artifact.key.partition("-")[0]: artifact for artifact in made if artifact.key}
    assert {key: artifact.type for key, artifact in found.items()} == {
        "preprocess": "progress",
        "stores": "table",
        "quicklook": "markdown",
        "quarantine": "table",
        "train": "progress",
        "loss": "markdown",
        "embed": "progress",
        "embeddings": "markdown",
        "evaluate": "table",
        "figures": "table",
        "write": "progress",
        "report": "markdown",
    }
    assert found["train"].data == 100.0
    assert "report.html" in str(found["report"].data)
    # What the whole run took is said there, as the page may not say it.
    rows = re.findall(r"^\| (\w+) \| (?:computed|reused) \| [0-9.,]+ \| .*Wh \(", str(found["report"].data), re.M)
    assert rows == ["preprocess", "train", "embed", "evaluate", "report"]
    assert re.search(r"^energy: (measured|not readable here; estimate) [0-9.e-]+ Wh", str(found["report"].data), re.M)


def test_the_page_has_the_same_bytes_although_no_two_runs_take_as_long(
    first_run: tuple[dict[str, Any], State[Any]],
) -> None:
    parameters, first = first_run
    page = Path(first.result()["report"]["folder"]) / "report.html"
    before = page.read_bytes()
    state = report(parameters["data"], overrides=TINY, force=True, return_state=True)
    assert state.result()["computed"]
    assert page.read_bytes() == before
    assert "runs show last" in before.decode()
    (link,) = (str(made.data) for made in artifacts(run_id(state)) if (made.key or "").startswith("report-"))
    assert "| report | computed |" in link
    assert "| train |" not in link


def test_what_prefect_remembers_but_is_gone_is_made_again(first_run: tuple[dict[str, Any], State[Any]]) -> None:
    parameters, first = first_run
    units = {unit["name"]: Path(unit["folder"]) for unit in first.result()["preprocess"]["units"]}
    shutil.rmtree(units[SECOND])
    again = preprocess(**parameters)
    assert {unit["name"]: unit["computed"] for unit in again["units"]} == {FIRST: False, SECOND: True}
    assert (units[SECOND] / "cubes.npy").is_file()


def test_another_data_folder_is_filled_although_the_inputs_are_the_same(
    first_run: tuple[dict[str, Any], State[Any]], tmp_path: Path
) -> None:
    parameters, _ = first_run
    made = preprocess(**{**parameters, "data": str(tmp_path / "other")})
    assert all(Path(unit["folder"]).is_relative_to(tmp_path / "other") for unit in made["units"])
    assert all((Path(unit["folder"]) / "cubes.npy").is_file() for unit in made["units"])


def test_a_store_that_cannot_be_used_fails_alone_and_is_not_tried_again(
    small_stores: Path, scheduler: str, tmp_path: Path
) -> None:
    shutil.copytree(small_stores, tmp_path / "stores")
    broken = tmp_path / "stores" / f"{FIRST}.zarr.zip"
    broken.write_bytes(broken.read_bytes()[:-5000])
    state = preprocess(str(tmp_path / "stores"), str(tmp_path / "data"), dask=scheduler, return_state=True)
    runs = task_runs(run_id(state))
    assert state.is_completed()
    assert "1 stores refused" in str(state.message)
    assert list(state.result()["refused"]) == [FIRST]
    failed = runs[f"preprocess {FIRST}"]
    assert (failed.state_type, failed.run_count) == ("FAILED", 1)
    assert runs[f"preprocess {SECOND}"].state_type == "COMPLETED"


def test_where_no_store_can_be_used_the_run_fails(tmp_path: Path, scheduler: str) -> None:
    (tmp_path / "a.zarr.zip").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no store could be used, 1 was refused"):
        preprocess(str(tmp_path), str(tmp_path / "data"), dask=scheduler)


def flaky(error: Exception, tries: list[int]) -> Callable[[], int]:
    @task(**{**OPTIONS, "retry_delay_seconds": 0, "cache_policy": None})
    def attempt() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise error
        return len(tries)

    return attempt


def test_what_may_go_away_by_itself_is_tried_again_and_bad_data_is_not() -> None:
    passing, lasting = [], []

    @flow
    def both() -> None:
        assert flaky(OSError("the disk was away"), passing)() == 2
        with pytest.raises(DataError):
            flaky(DataError("no vh", code=Code.SCHEMA), lasting)()

    both()
    assert (len(passing), len(lasting)) == (2, 1)


def test_results_are_json(first_run: tuple[dict[str, Any], State[Any]], results: Path) -> None:
    records = [path for path in results.rglob("*") if path.is_file()]
    assert records
    documents = [json.loads(record.read_bytes()) for record in records]
    kinds = {document["metadata"]["serializer"]["type"] for document in documents if "metadata" in document}
    assert kinds == {"json"}


def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ParameterTypeError, match="recipe"):
        preprocess(str(tmp_path), recipe="best")  # type: ignore[arg-type]
