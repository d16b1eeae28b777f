import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from sarpipe.errors import SarpipeError
from sarpipe.flows.cli import main
from sarpipe.settings import Settings, resolve
from sarpipe.stages import straight
from sarpipe.stages.chain import summarise
from sarpipe.stages.preprocess import make_store, plan_preprocess
from sarpipe.storage import mirror
from sarpipe.storage.remote import RemotePath, remote_path

TINY = {"train.epochs": 2, "train.batch_size": 4, "device": "cpu"}


@pytest.fixture
def source(bucket: str, small_stores: Path) -> str:
    """The small stores in a bucket."""
    folder = remote_path(f"{bucket}/train/S1GRD")
    for file in small_stores.iterdir():
        (folder / file.name).put(file)
    return str(folder)


@pytest.fixture
def worker(scheduler: str, s3: Any, tmp_path: Path) -> Iterator[str]:
    """A scheduler whose worker has the credentials, and a cache of its own, as another machine."""
    theirs = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    theirs["SARPIPE_CACHE"] = str(tmp_path / "worker")

    def set_there() -> None:
        import os

        os.environ.update(theirs)

    with Client(scheduler, set_as_default=False) as client:
        client.run(set_there)
        yield scheduler


@pytest.fixture
def machine(worker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Settings]:
    """Be a machine with a cache of its own: its settings for output at a URL."""

    def be(name: str, data: str) -> Settings:
        monkeypatch.setenv("SARPIPE_CACHE", str(tmp_path / name))
        monkeypatch.setattr(mirror, "_mounts", {})
        return resolve(data=data, overrides=TINY, dask=worker)

    return be


def quiet(*_: Any) -> None:
    pass


def run(settings: Settings, source: object) -> dict[str, Any]:
    return summarise(settings, straight.run(settings, str(source), quiet))


def test_a_unit_of_a_local_store_stands_for_the_remote_one_and_vice_versa(
    source: str, small_stores: Path, tmp_path: Path, s3: Any
) -> None:
    local, remote = resolve(data=tmp_path / "local"), resolve(data=tmp_path / "remote")
    receipts = {}
    for settings, stores in ((local, str(small_stores)), (remote, source)):
        s3.fail()
        steps = plan_preprocess(settings, stores)
        receipts[stores] = [make_store(step, settings) for step in steps]
    first, second = receipts.values()
    assert [made["digest"] for made in first] == [made["digest"] for made in second]
    assert [Path(made["folder"]).name for made in first] == [Path(made["folder"]).name for made in second]
    # Each whole store was fetched once: the other requests are for the ends.
    assert all(
        path.read_bytes() == (remote.data / path.relative_to(local.data)).read_bytes()
        for path in local.data.rglob("*")
        if path.is_file() and ".lock-" not in path.name and path.name != "manifest.json"
    )

    assert [step.state for step in plan_preprocess(local, source)] == ["done", "done"]
    assert [step.state for step in plan_preprocess(remote, str(small_stores))] == ["done", "done"]


def test_stores_that_are_done_are_not_fetched(source: str, tmp_path: Path, s3: Any) -> None:
    settings = resolve(data=tmp_path / "data")
    for step in plan_preprocess(settings, source):
        make_store(step, settings)
    s3.fail()
    steps = plan_preprocess(settings, source)
    # A listing, and for each store its size, its end and its truth.
    assert len(s3.requests) == 1 + 3 * len(steps)


def test_a_failing_server_is_tried_again_and_an_outage_makes_no_store_refused(
    source: str, tmp_path: Path, s3: Any
) -> None:
    settings = resolve(data=tmp_path / "data")
    steps = plan_preprocess(settings, source)
    s3.fail("503", "reset", "cut", of=r"^GET .*\.zarr\.zip")
    assert make_store(steps[0], settings)["computed"]
    s3.fail(*["503"] * 1000)
    with pytest.raises(SarpipeError, match="failed 5 times") as outage:
        make_store(steps[1], settings)
    assert type(outage.value).__name__ == "RemoteError"
    s3.fail()
    assert make_store(steps[1], settings)["computed"]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_store_that_changes_after_the_plan_is_not_taken_for_the_planned_one(
    source: str, small_stores: Path, tmp_path: Path
) -> None:
    settings = resolve(data=tmp_path / "data")
    one, other = plan_preprocess(settings, source)
    assert isinstance(one.source, RemotePath)
    assert isinstance(other.source, RemotePath)
    one.source.write(other.source.read(10**9))
    with pytest.raises(SarpipeError, match="has changed since this run was planned"):
        make_store(one, settings)


def test_a_truncated_store_is_refused_and_the_others_go_on(
    machine: Any, source: str, bucket: str, small_stores: Path
) -> None:
    (store, *_) = sorted(small_stores.glob("*.zip"))
    (remote_path(source) / "broken.zarr.zip").write(store.read_bytes()[:5000])
    done = straight.preprocess(machine("one", f"{bucket}/out"), source, quiet)
    assert list(done["refused"]) == ["broken"]
    assert done["refused"]["broken"].startswith("broken.zarr.zip is not a whole zip file (5,000 bytes")
    assert remote_path(f"{bucket}/out").files()


def test_a_second_machine_reuses_all_that_the_first_has_made(
    machine: Any, source: str, bucket: str, finished: Path
) -> None:
    data = f"{bucket}/output"
    settings = machine("one", data)
    # A run that was cut off before anything was uploaded. The worker has another cache, and makes the units again.
    shutil.copytree(finished, settings.data, dirs_exist_ok=True)
    first = run(settings, source)
    assert first["units"]["computed"] == 2
    assert set(first["stages"].values()) == {"reused"}
    # What is shown is where everybody finds it.
    for name, path in first["outputs"].items():
        assert path.startswith(f"{data}/"), name
        assert remote_path(path).exists(), name
    names = set(remote_path(data).files())
    assert {name.split("/")[0] for name in names} == {"cubes", "models", "embeddings", "reports", "quarantine"}
    assert not any(part.startswith((".tmp", ".lock", ".old")) for name in names for part in name.split("/"))
    assert not any(".checkpoints" in name for name in names)

    second = run(machine("two", data), source)
    assert second["units"] == {"total": 2, "computed": 0, "reused": 2, "refused": 0}
    assert set(second["stages"].values()) == {"reused"}
    assert second["outputs"] == first["outputs"]
    assert second["places"] == first["places"]

    # One stage alone on a third: everything that it works on is fetched.
    settings = machine("three", data)
    assert not straight.later("embed", settings, quiet)["computed"]
    assert straight.later("embed", settings, quiet, force=True)["computed"]


def test_the_command_line_takes_urls(
    machine: Any, source: str, bucket: str, worker: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("one", f"{bucket}/output")
    code = main(["preprocess", source, "--data", f"{bucket}/output", "--dask", worker])
    said = capsys.readouterr()
    assert (code, f"{bucket}/output/cubes/" in said.err) == (0, True)
    assert main(["preprocess", source, "--data", f"{bucket}/output", "--dry-run", "--json"]) == 0
    assert f'"folder": "{bucket}/output/cubes/' in capsys.readouterr().out
    for wrong in (
        ["preprocess", "s3://no-such-bucket/x", "--data", f"{bucket}/output"],
        ["preprocess", f"{source}/nothing", "--data", f"{bucket}/output"],
        ["preprocess", source, "--data", "s3://no-such-bucket/x"],
        ["preprocess", source, "--data", "https://host/x"],
        ["preprocess", "s3://key:sesame@bucket/x"],
        ["simulate", f"{bucket}/stores"],
    ):
        assert main(wrong) == 2
        said = capsys.readouterr()
        assert said.err.startswith("sarpipe: ")
        assert len(said.err.splitlines()) <= 2
        assert "sesame" not in said.err


def test_checksums_of_unpacked_stores_are_kept_at_the_url(machine: Any, bucket: str, tmp_path: Path) -> None:
    from sarpipe.simulate import simulate

    simulate(tmp_path / "stores", stores=1, places=1, zipped=False)
    (step,) = plan_preprocess(machine("one", f"{bucket}/output"), tmp_path / "stores")
    assert isinstance(step.source, Path)
    assert [name.split("/")[0] for name in remote_path(f"{bucket}/output").files()] == ["sources"]
    chunk = next(path for path in sorted(step.source.rglob("*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes() + b" ")
    (step,) = plan_preprocess(machine("two", f"{bucket}/output"), tmp_path / "stores")
    assert (step.state, "when the store was first seen" in step.why) == ("refused", True)
