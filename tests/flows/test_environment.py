import re
from pathlib import Path

import pytest

from sarpipe import __version__
from sarpipe.errors import UsageError
from sarpipe.flows.environment import deployed

ENVIRONMENTS = Path(__file__).resolve().parents[2] / "data" / "configs" / "environments"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROOT", "SOURCE", "DATA", "CONFIG", "DASK", "NIGHTLY"):
        monkeypatch.delenv(f"SARPIPE_{name}", raising=False)


def variables(name: str) -> dict[str, str]:
    lines = (ENVIRONMENTS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_without_any_variable_it_is_the_local_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    nothing_set = deployed()
    for name, value in variables("local").items():
        monkeypatch.setenv(name, value)
    assert deployed() == nothing_set
    assert nothing_set["root"] == str(tmp_path)
    assert nothing_set["nightly"] is False
    assert re.fullmatch(re.escape(__version__) + r"(\+[0-9a-f]{7,}(\.dirty)?)?", str(nothing_set["version"]))


def test_the_cluster_runs_each_night_on_its_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables("cluster").items():
        monkeypatch.setenv(name, value)
    found = deployed()
    assert found["nightly"] is True
    # Neither goes from host to host in the clear.
    assert str(found["dask"]).startswith("tls://")
    assert variables("cluster")["PREFECT_API_URL"].startswith("https://")
    # The worker's machine has no checkout: what is named below its folder is a copy of what lies here.
    assert found["root"] == "/srv/sarpipe"
    assert (ENVIRONMENTS.parent / str(found["config"])).is_file()


def test_a_switch_that_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARPIPE_NIGHTLY", "yes")
    with pytest.raises(UsageError, match="SARPIPE_NIGHTLY is 'yes'"):
        deployed()
