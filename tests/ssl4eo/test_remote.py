import shutil
import threading
from pathlib import Path

import psutil
import pytest

from sarpipe.errors import DataError, RemoteError, UsageError
from sarpipe.ssl4eo import find_stores, open_archive
from sarpipe.ssl4eo.remote import local_copy, open_remote
from sarpipe.storage.remote import ATTEMPTS, RemotePath, remote_path


@pytest.fixture
def remote(bucket: str, small_stores: Path) -> RemotePath:
    """The small stores, as they lie in the public data set, with a split list."""
    folder = remote_path(f"{bucket}/train/S1GRD")
    for file in small_stores.iterdir():
        (folder / file.name).put(file)
    names = [path.name for path in find_stores(small_stores)]
    (remote_path(f"{bucket}/splits") / "all.txt").write("\n".join(names).encode())
    return folder


def names(source: object) -> list[str]:
    return [store.name for store in find_stores(str(source))]


def test_a_url_names_stores_as_a_path_does(remote: RemotePath, small_stores: Path, bucket: str) -> None:
    expected = names(small_stores)
    assert len(expected) == 2
    assert names(remote) == names(f"{remote}/") == expected
    assert names(f"{remote}/*_00000[1-2].zarr.zip") == expected
    assert names(f"{bucket}/splits/all.txt") == expected
    assert names(remote / expected[0]) == expected[:1]
    assert names(f"{small_stores.as_uri()}") == expected


@pytest.mark.parametrize("below", ["nothing", "nothing.zarr.zip", "*.nothing", "nothing.txt"])
def test_where_there_is_no_store_it_is_said_with_the_url(remote: RemotePath, below: str) -> None:
    with pytest.raises(UsageError) as said:
        find_stores(f"{remote}/{below}")
    assert str(remote) in said.value.message


def test_a_list_that_names_what_is_not_there_or_elsewhere_is_refused(remote: RemotePath) -> None:
    (remote / "a.txt").write(b"nothing.zarr.zip")
    with pytest.raises(UsageError, match=r"lists nothing.zarr.zip, which is in neither"):
        find_stores(f"{remote}/a.txt")
    (remote / "a.txt").write(b"../../../etc/x.zarr.zip")
    with pytest.raises(RemoteError, match="no name of a file below it"):
        find_stores(f"{remote}/a.txt")


def test_a_plan_reads_the_end_alone_and_sees_what_the_local_zip_shows(
    remote: RemotePath, small_stores: Path, s3
) -> None:
    for local in find_stores(small_stores):
        s3.fail()
        there = open_remote(remote / local.name)
        here = open_archive(local)
        assert (there.fingerprint, there.source_bytes) == (here.fingerprint, here.source_bytes)
        assert [method for method, _ in s3.requests] == ["HEAD", "GET"]


def test_a_directory_that_reaches_beyond_the_end_that_was_read_is_fetched(
    remote: RemotePath, small_stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sarpipe.ssl4eo.remote._TAIL_BYTES", 100)
    local = find_stores(small_stores)[0]
    assert open_remote(remote / local.name).fingerprint == open_archive(local).fingerprint


@pytest.mark.parametrize("kept", [0, 10, 1000, -100])
def test_a_truncated_store_is_refused_in_the_words_for_a_local_one(
    remote: RemotePath, small_stores: Path, tmp_path: Path, kept: int
) -> None:
    cut = tmp_path / "cut.zarr.zip"
    cut.write_bytes(find_stores(small_stores)[0].read_bytes()[:kept])
    (remote / cut.name).put(cut)
    with pytest.raises(DataError) as here:
        open_archive(cut)
    with pytest.raises(DataError) as there:
        open_remote(remote / cut.name)
    assert here.value.message.replace(str(tmp_path), "") == there.value.message.replace(str(remote), "")


def test_an_unpacked_store_is_refused_with_what_to_do(remote: RemotePath) -> None:
    (remote / "unpacked.zarr/.zgroup").write(b"{}")
    (store,) = [store for store in find_stores(str(remote)) if store.name == "unpacked.zarr"]
    with pytest.raises(DataError, match=r"unpacked store.*Pack it"):
        open_remote(store)


def test_a_copy_is_whole_and_goes_away(remote: RemotePath, small_stores: Path, s3) -> None:
    local = find_stores(small_stores)[0]
    s3.fail("503", "cut", of="^GET .*zip")
    with local_copy(remote / local.name) as copy:
        assert copy.read_bytes() == local.read_bytes()
        assert [file.name for file in copy.parent.iterdir() if file != copy] == [
            local.name.replace(".zarr.zip", ".truth.parquet")
        ]
        with pytest.raises(DataError, match="broken") as said, local_copy(remote / local.name) as again:
            raise DataError(f"{again} is broken")
    assert said.value.message == f"{remote / local.name} is broken"
    assert not copy.parent.exists()
    assert not again.parent.exists()


def test_an_outage_is_no_fault_of_the_store(remote: RemotePath, small_stores: Path, s3) -> None:
    s3.fail(*["503"] * 1000)
    with pytest.raises(RemoteError, match=f"failed {ATTEMPTS} times"):
        open_remote(remote / find_stores(small_stores)[0].name)


def test_many_copies_leave_no_sockets_and_no_threads(remote: RemotePath, small_stores: Path) -> None:
    store = remote / find_stores(small_stores)[0].name
    process = psutil.Process()

    def read() -> None:
        open_remote(store)
        with local_copy(store):
            pass

    read()
    # Of this process alone: the server has threads and sockets here too.
    before = (process.num_fds(), [thread.name for thread in threading.enumerate() if "fsspec" in thread.name])
    for _ in range(50):
        read()
    after = (process.num_fds(), [thread.name for thread in threading.enumerate() if "fsspec" in thread.name])
    assert after[0] <= before[0] + 4
    assert after[1] == before[1]


def test_a_web_server_gives_one_store(remote: RemotePath, small_stores: Path, tmp_path: Path, web_server: str) -> None:
    local = find_stores(small_stores)[0]
    shutil.copy(local, tmp_path)
    (store,) = find_stores(f"{web_server}/{local.name}")
    assert isinstance(store, RemotePath)
    assert open_remote(store).fingerprint == open_archive(local).fingerprint
    with local_copy(store) as copy:
        assert copy.read_bytes() == local.read_bytes()
