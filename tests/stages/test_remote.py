import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from sarpipe.errors import SarpipeError
from sarpipe.flows.cli import main
from sarpipe.settings import Settings, resolve
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.ssl4eo import RemoteGroup
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
    assert done["refused"]["broken"]["reason"].startswith("broken.zarr.zip is not a whole zip file (5,000 bytes")
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
    parts = {"cubes", "models", "embeddings", "reports", "quarantine", "runs"}
    assert {name.split("/")[0] for name in names} == parts
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


@pytest.fixture
def other_layouts(
    tmp_path: Path,
    simulated_places: list[SimulatedPlace],
    write_place: Callable[..., bytes],
    write_tar: Callable[[Path, Mapping[str, bytes]], Path],
) -> Path:
    """A folder with a tar of two places and a folder of three single ones, of which one is damaged."""
    folder = tmp_path / "stores"
    (folder / "s1").mkdir(parents=True)
    write_tar(
        folder / "shard.tar", {f"k{i}.zarr.zip": write_place(place) for i, place in enumerate(simulated_places[:2])}
    )
    for i, place in enumerate(simulated_places[2:]):
        data = write_place(place, neuco=True)
        (folder / f"s1/{i}.zarr.zip").write_bytes(data if i != 1 else data[:9000])
    return folder


@pytest.fixture
def there(bucket: str, other_layouts: Path) -> RemotePath:
    """The same in a bucket."""
    folder = remote_path(f"{bucket}/stores")
    for file in other_layouts.rglob("*.*"):
        (folder / file.relative_to(other_layouts).as_posix()).put(file)
    return folder


def made(settings: Settings, source: object) -> dict[str, Any]:
    (step,) = plan_preprocess(settings, str(source))
    return {**make_store(step, settings)}


def test_units_of_tars_and_groups_are_those_of_the_local_ones(
    there: RemotePath, other_layouts: Path, tmp_path: Path, s3: Any, temporary: Path
) -> None:
    local, remote = resolve(data=tmp_path / "local"), resolve(data=tmp_path / "remote")
    # For the tar: to find it, plan it, see it unchanged before and after, its size and itself. For the group: to list
    # it and look into a file, list it before and after, fetch three files. And three times the truth.
    for name, requests, planned in (("shard.tar", 6 + 3, 3), ("s1", 2 + 2 + 3 + 3, 3)):
        here = made(local, other_layouts / name)
        s3.fail()
        unit = made(remote, there / name)
        assert len(s3.requests) == requests
        assert s3.count(r"^GET .*shard\.tar") == (name == "shard.tar")
        assert (unit["computed"], unit["places"], unit["quarantined"]) == (True, here["places"], here["quarantined"])
        files = sorted(path.name for path in Path(here["folder"]).iterdir() if path.name != "manifest.json")
        assert {"cubes.npy", "frames.npy", "index.parquet", "quarantine.parquet"} <= set(files)
        for file in files:
            assert (Path(here["folder"]) / file).read_bytes() == (Path(unit["folder"]) / file).read_bytes()
        # Their fingerprints differ.
        assert Path(unit["folder"]).name != Path(here["folder"]).name
        s3.fail()
        (step,) = plan_preprocess(remote, str(there / name))
        assert (step.state, len(s3.requests)) == ("done", planned)
        assert not made(remote, there / name)["computed"]
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", ["shard.tar", "s1"])
def test_a_replaced_tar_or_file_of_a_group_is_noticed(
    there: RemotePath, tmp_path: Path, temporary: Path, s3: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = resolve(data=tmp_path / "data")
    replaced = there / ("shard.tar" if name == "shard.tar" else "s1/2.zarr.zip")
    data = bytearray(replaced.read(10**9))

    def replace() -> None:
        # Of the same size; among the pixels.
        data[len(data) // 2] ^= 1
        replaced.write(bytes(data))

    (step,) = plan_preprocess(settings, str(there / name))
    replace()
    with pytest.raises(SarpipeError, match="has changed since this run was planned"):
        make_store(step, settings)

    fetch = RemotePath.fetch

    def replaced_after(path: RemotePath, *arguments: Any) -> None:
        fetch(path, *arguments)
        if path == replaced:
            replace()

    (step,) = plan_preprocess(settings, str(there / name))
    with monkeypatch.context() as patch:
        patch.setattr(RemotePath, "fetch", replaced_after)
        with pytest.raises(SarpipeError, match="has changed while it was read"):
            make_store(step, settings)
    assert not list(settings.data.rglob("cubes.npy"))
    assert not list(temporary.iterdir())
    assert made(settings, there / name)["computed"]


def test_tars_and_groups_at_a_url_are_run_and_reused_and_a_cut_tar_is_refused(
    machine: Any, there: RemotePath, bucket: str, other_layouts: Path
) -> None:
    settings = machine("one", f"{bucket}/out")
    (there / "cut.tar").write((other_layouts / "shard.tar").read_bytes()[:-20_000])
    done = straight.preprocess(settings, str(there), quiet)
    assert [unit["computed"] for unit in done["units"]] == [True]
    assert list(done["refused"]) == ["cut"]
    assert done["refused"]["cut"]["reason"].startswith("cut.tar is not a whole tar file")
    assert [unit["computed"] for unit in straight.preprocess(settings, str(there), quiet)["units"]] == [False]
    done = straight.preprocess(settings, str(there / "s1"), quiet)
    assert [(unit["computed"], unit["places"], unit["quarantined"]) for unit in done["units"]] == [(True, 2, 1)]
    (step,) = plan_preprocess(machine("two", f"{bucket}/out"), str(there / "s1"))
    assert isinstance(step.source, RemoteGroup)
    assert step.done
