import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_entrypoints_load_and_take_the_parameters(deployment: dict[str, Any]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    assert set(deployment.get("parameters", {})) <= set(flow.parameters.properties)
    assert set(flow.parameters.required or []) <= set(deployment.get("parameters", {}))
    assert deployment["work_pool"]["name"] == "sarpipe"


def test_every_flow_has_a_deployment_and_only_the_pipeline_a_schedule() -> None:
    modules = [importlib.import_module(f"sarpipe.flows.{path.stem}") for path in (ROOT / "flows").glob("[!_]*.py")]
    flows = [one for module in modules for one in vars(module).values() if isinstance(one, Flow)]
    entrypoints = {f"{flow.fn.__module__}.{flow.fn.__name__}" for flow in flows}
    assert entrypoints
    assert {deployment["entrypoint"] for deployment in DEPLOYMENTS} == entrypoints
    named = {deployment["entrypoint"].rpartition(".")[2]: deployment for deployment in DEPLOYMENTS}
    assert [name for name, deployment in named.items() if deployment.get("schedules")] == ["pipeline"]
    # Whether it is on is the environment's.
    assert [schedule["active"] for schedule in named["pipeline"]["schedules"]] == ["{{ here.nightly }}"]
