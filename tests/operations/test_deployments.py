"""The deployments on a real server; and one that fails, is mended, and is retried from the UI by a real worker."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_operations import Operations
from real_server import PrefectServer

from sarpipe import __version__
from sarpipe.errors import UsageError
from sarpipe.flows.automations import install
from sarpipe.settings import resolve
from sarpipe.stages.preprocess import plan_preprocess

ROOT = Path(__file__).resolve().parents[2]
AUTOMATIONS = ROOT / "data" / "configs" / "automations"
# Half a minute alone; on a machine whose cores others have, each of its processes starts in as long.
pytestmark = pytest.mark.timeout(900)
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, *sys.argv[1:]])))"
"""Runs a command of Python in a terminal at which nobody types."""


@pytest.fixture(scope="module")
def operations(
    server: PrefectServer, small_stores: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operations]:
    deployed = Operations(server, tmp_path_factory.mktemp("operations"), small_stores)
    deployed.deploy()
    yield deployed
    deployed.kill_worker()


@pytest.fixture
def on_server(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as a client of the server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("SARPIPE_ALARM", raising=False)
    with temporary_settings({PREFECT_API_URL: operations.server.url}):
        yield


@pytest.mark.parametrize("name", ["nightly", "preprocess", "train", "embed", "evaluate", "report"])
def test_a_deployment_has_a_form_a_version_and_tags(operations: Operations, name: str) -> None:
    deployment = operations.deployment(name)
    fields = deployment["parameter_openapi_schema"]["properties"]
    assert all(field["description"] for field in fields.values())
    assert not any("Args:" in field["description"] for field in fields.values())
    assert set(deployment["parameters"]) <= set(fields)
    assert deployment["parameters"]["data"] == str(operations.data)
    assert {"sar", "original"} == set(fields["recipe"]["anyOf"][0]["enum"])
    assert fields["force"]["type"] == "boolean"
    assert deployment["enforce_parameter_schema"] is True
    assert deployment["version"].partition("+")[0] == __version__
    assert deployment["tags"] == ["sarpipe", "pipeline" if name == "nightly" else name]
    assert deployment["description"]
    assert deployment["pull_steps"] == [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]


def test_the_pipeline_has_a_named_schedule_which_is_off_and_one_run_at_a_time(operations: Operations) -> None:
    nightly = operations.deployment("nightly")
    assert [(schedule["slug"], schedule["active"]) for schedule in nightly["schedules"]] == [("nightly", False)]
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    workers = nightly["parameter_openapi_schema"]["properties"]["workers"]["anyOf"][0]
    assert (workers["minimum"], workers["maximum"]) == (1, 1024)
    stages = nightly["parameter_openapi_schema"]["properties"]["from_stage"]
    assert stages["enum"] == ["preprocess", "train", "embed", "evaluate", "report"]
    assert stages["default"] == "preprocess"


def test_deploying_again_asks_nothing_at_a_terminal(operations: Operations) -> None:
    before = operations.deployment("nightly")["id"]
    done = operations.call(
        "-c", TERMINAL, "-m", "prefect", "deploy", "--all", timeout=400, TERM="xterm", PREFECT_CLI_PROMPT="true"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert operations.deployment("nightly")["id"] == before


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"recipe": "best"}, {"from_stage": "quantize"}, {"data": ""}])
def test_the_form_refuses_what_does_not_fit(operations: Operations, wrong: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        operations.run("nightly", **wrong)
    assert refused.value.code == 409
    assert next(iter(wrong)) in json.loads(refused.value.read())["detail"]


def automations(operations: Operations) -> dict[str, dict[str, Any]]:
    found = operations.server.ask("automations/filter")
    assert len({one["name"] for one in found}) == len(found)
    return {one["name"]: one for one in found}


def test_automations_can_be_installed_again(operations: Operations, on_server: None, tmp_path: Path) -> None:
    names = install(AUTOMATIONS)
    first = automations(operations)
    assert set(first) == set(names)
    assert len(names) == 4
    (late,) = AUTOMATIONS.glob("late.yaml")
    (tmp_path / "late.yaml").write_text(late.read_text().replace("within: 600", "within: 60"))
    assert install(tmp_path) == ["sarpipe run late"]
    again = automations(operations)
    assert {name: one["id"] for name, one in again.items()} == {name: one["id"] for name, one in first.items()}
    assert again["sarpipe run late"]["trigger"]["within"] == 60


def test_automations_name_a_block_that_is_there(
    on_server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="there is no automation in"):
        install(tmp_path)
    monkeypatch.setenv("SARPIPE_ALARM", "slack-webhook/operators")
    with pytest.raises(UsageError, match="there is no block slack-webhook/operators"):
        install(AUTOMATIONS)


def test_a_failed_run_says_so_and_its_retry_makes_only_what_is_missing(operations: Operations, on_server: None) -> None:
    install(AUTOMATIONS)
    _, second = plan_preprocess(resolve(data=operations.data), operations.stores)
    assert second.folder is not None
    obstacle = second.folder.with_name(f".lock-{second.folder.name}")
    obstacle.mkdir(parents=True)
    operations.start_worker()
    run = operations.run("preprocess")
    failed = operations.ended(run, "Failed")
    assert failed["name"] == f"preprocess sar: 2 stores of {'/'.join(operations.stores.parts[-2:])}"
    assert failed["flow_version"] == __version__
    assert failed["deployment_version"] == operations.deployment("preprocess")["version"]
    assert set(failed["tags"]) == {"sarpipe", "preprocess"}
    (first,) = {Path(name).parent.name for name in operations.files() if name.endswith("manifest.json")}
    before = operations.files()
    obstacle.rmdir()
    operations.retry(run, force=False)
    operations.ended(run, "Completed")
    after = operations.files()
    assert before.items() <= after.items()
    made = {Path(name).parent.name for name in after.keys() - before.keys() if name.endswith("manifest.json")}
    assert first not in made
    assert {name.partition("-")[0] for name in made} == {second.name, "set"}
    # Where the server is too busy to answer itself in time, it says the same again.
    (alarm,) = set(operations.alarms())
    assert failed["name"] in alarm
    assert "cannot write" in alarm
    assert f"prefect flow-run retry {run}" in alarm
