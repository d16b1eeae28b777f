"""Parameters of flows are typed, stay what they are, and reach nothing outside of the output."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_flows import flows_on
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.exceptions import ParameterBindError, ParameterTypeError
from prefect.flow_engine import run_flow
from real_server import PrefectServer

from sarpipe.errors import SarpipeError, UsageError
from sarpipe.flows.embed import embed
from sarpipe.flows.pipeline import pipeline
from sarpipe.flows.preprocess import preprocess
from sarpipe.flows.train import train
from sarpipe.settings import resolve
from sarpipe.ssl4eo import find_stores

NASTY = [
    *("", "../../canary", "/proc/self/mem", "/dev/zero", "/dev/full", "$(touch canary2)", "`touch canary2`"),
    *("; touch canary2", "{x.__class__}", "{source.__class__.__mro__}", "%s%n", "a\nb", "a\0b", "~root", "~nobody-/x"),
    *("\ud800", "file:///a\0b", "s3://", "s3://\0", "http://[::1", "x" * 10_000, "x/" * 5000, "**/*\0", "[", "nan"),
]
TEXT = st.sampled_from(NASTY) | st.text(max_size=40) | st.text(string.printable, max_size=40)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=6,
)
NAMES = (
    "train.epochs",
    "train",
    "recipe",
    "recipe.min_valid",
    "recipe.window_db",
    "model",
    "labels",
    "memory_gb",
    "device",
)

COMMANDS = """
import json, sys, traceback
from pathlib import Path
from prefect.cli import app

ends = {}
written, *parameters = sys.argv[1:]
for parameter in parameters:
    sys.argv = ["prefect", "deployment", "run", "preprocess/hostile", "--param", parameter]
    try:
        app()
        ends[parameter] = 0
    except SystemExit as end:
        ends[parameter] = end.code or 0
    except Exception:
        traceback.print_exc()
        ends[parameter] = 1
Path(written).write_text(json.dumps(ends))
"""


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that must stay as it is, and be alone with the folders that the test is told to work in."""
    (tmp_path / "canary").write_text("alive")
    (tmp_path / "inner" / "work").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "inner" / "work")
    return tmp_path / "canary"


def assert_untouched(canary: Path) -> None:
    assert canary.read_text() == "alive"
    assert {path.name for path in canary.parent.iterdir()} <= {"canary", "inner", "data", "stores"}
    assert not list(canary.parent.rglob("canary2"))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=TEXT, data=TEXT, config=st.none() | TEXT, name=st.sampled_from(NAMES) | TEXT, value=VALUE)
def test_any_text_is_taken_for_what_it_is_or_refused_in_one_short_line(
    canary: Path, source: str, data: str, config: str | None, name: str, value: object
) -> None:
    reads: list[Callable[[], object]] = [
        lambda: resolve(data=data if "://" not in data else "data"),
        lambda: resolve(data="data", config=config),
        lambda: resolve(data="data", overrides={name: value}),
    ]
    if "://" not in source:
        reads.append(lambda: find_stores(source))
    for read in reads:
        try:
            read()
        except UsageError as error:
            said = str(error)
        else:
            said = ""
        assert len(said) < 12_000
    assert_untouched(canary)
    assert not any(canary.parent.joinpath("inner", "work").iterdir())


def test_settings_that_stand_for_gigabytes_or_for_themselves_are_refused_shortly(tmp_path: Path) -> None:
    lines = ["a: &b0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 12)]
    texts = {
        "bomb": "train:\n  epochs:\n    " + "\n    ".join(lines),
        "itself": "train: &t\n  epochs: *t\n",
        "deep": "[" * 100_000,
        "long": "x" * 2_000_000,
        "secret": "root:$6$hash:1:0:\n- [:\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError) as caught:
            resolve(data=tmp_path, config=tmp_path / name)
        assert len(str(caught.value)) < 1000
        assert "$6$" not in str(caught.value)
    with pytest.raises(UsageError, match="no regular file"):
        resolve(data=tmp_path, config="/dev/zero")


@pytest.fixture(scope="module")
def prefect_api(server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with flows_on(server.url, tmp_path_factory.mktemp("results")):
        yield


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("flow", "parameters"),
    [
        (preprocess, {"source": ["a"]}),
        (preprocess, {"source": "s", "workers": [1, 2]}),
        (preprocess, {"source": ""}),
        (preprocess, {"source": "s", "workers": float("nan")}),
        (preprocess, {"source": "s", "workers": 1e999}),
        (preprocess, {"source": "s", "recipe": "{x.__class__}"}),
        (preprocess, {"source": "s", "overrides": "train.epochs=1"}),
        (pipeline, {"source": "s", "force": "perhaps"}),
        (pipeline, {"source": "s", "preset": "../sar"}),
        (train, {"cubes": {"a": 1}}),
    ],
)
def test_a_parameter_of_another_type_never_reaches_a_flow(flow: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        flow(**parameters)


@pytest.mark.usefixtures("prefect_api")
def test_a_flow_knows_no_other_parameter() -> None:
    with pytest.raises(ParameterBindError):
        preprocess(source="s", command="touch canary2")  # type: ignore[call-arg]


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("text", [text for text in NASTY if text and "://" not in text and "\ud800" not in text])
def test_a_hostile_source_fails_the_flow_with_an_error_of_ours(canary: Path, text: str) -> None:
    state = preprocess(text, str(canary.parent / "data"), return_state=True)
    assert state.is_failed()
    with pytest.raises(SarpipeError):
        state.result()
    assert_untouched(canary)
    assert not list(canary.parent.glob("data/cubes/*"))


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("cubes", ["../../../canary", "/etc", "/proc/self/root", "a\0b", "x" * 5000, "{data}"])
def test_a_set_of_cubes_is_taken_from_below_the_output_alone(canary: Path, cubes: str) -> None:
    with pytest.raises(SarpipeError):
        embed(data=str(canary.parent / "data"), cubes=cubes)
    link = canary.parent / "data" / "cubes" / resolve(data=canary.parent / "data").cubes_folder.name / "set-link"
    link.parent.mkdir(parents=True)
    link.symlink_to("/etc")
    with pytest.raises(SarpipeError, match="no set of cubes below"):
        embed(data=str(canary.parent / "data"), cubes=str(link))


@pytest.mark.faults
@pytest.mark.usefixtures("prefect_api")
def test_parameters_of_a_deployment_through_the_real_command(
    canary: Path, server: PrefectServer, small_stores: Path
) -> None:
    data = str(canary.parent / "data")
    deployment = preprocess.to_deployment("hostile", parameters={"source": str(small_stores), "data": data})
    hostile = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.apply()]))
    # Prefect's client makes null, and so a good run, of what is no number of JSON: workers=1e999.
    given = [*(f"source={text}" for text in NASTY[1:12]), "nobody=1", "workers=[1,2]", "recipe=best", "workers=-1"]
    written = canary.parent / "inner" / "ends.json"
    # The command itself, but that Python starts and imports it once for all.
    subprocess.run(
        [sys.executable, "-c", COMMANDS, written, *given],
        env={**os.environ, "PREFECT_API_URL": server.url, "PREFECT_HOME": str(canary.parent / "inner")},
        capture_output=True,
        check=True,
    )
    ends = json.loads(written.read_bytes())
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=hostile)
        scheduled = [run for run in runs if run.state and run.state.is_scheduled()]
    # What a worker does with them.
    refused = failed = 0
    for run in scheduled:
        try:
            state: Any = run_flow(preprocess, flow_run=run, parameters=run.parameters, return_type="state")
        except Exception:
            refused += 1
        else:
            failed += 1
            assert state.is_failed(), run.parameters
    print(json.dumps(ends), f"{refused} refused before the flow began, {failed} failed in it")
    assert len(scheduled) == sum(code == 0 for code in ends.values()) >= 8
    assert ends["nobody=1"] != 0
    assert_untouched(canary)
