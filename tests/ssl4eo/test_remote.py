import http.client
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from sarpipe.codes import Code
from sarpipe.errors import DataError, RemoteError, UsageError
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.ssl4eo import Group, RemoteGroup, Store, UnreadablePlace, find_stores, open_archive, read_parts
from sarpipe.ssl4eo import remote as remote_module
from sarpipe.ssl4eo.bundle import MAX_MEMBER_BYTES
from sarpipe.ssl4eo.remote import local_copy, look_again, open_remote
from sarpipe.storage.remote import ATTEMPTS, RemotePath, remote_path


@pytest.fixture(scope="module")
def places(simulated_places: list[SimulatedPlace], write_place: Callable[..., bytes]) -> list[bytes]:
    return [write_place(place, neuco=True) for place in simulated_places[:3]]


@pytest.fixture
def folder(bucket: str) -> RemotePath:
    return remote_path(f"{bucket}/data/s1")


def write(folder: Path | RemotePath, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / f"{name}.zarr.zip"
        if isinstance(path, RemotePath):
            path.write(data)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def groups(source: object) -> list[RemoteGroup]:
    found = find_stores(str(source))
    assert all(isinstance(group, RemoteGroup) for group in found)
    return [group for group in found if isinstance(group, RemoteGroup)]


def shown(source: object) -> list[tuple[str, list[str]]]:
    """Names of groups and of their files."""
    return [
        (group.name, [file if isinstance(file, str) else file.path.name for file in group.files])
        for group in find_stores(str(source))
        if isinstance(group, Group | RemoteGroup)
    ]


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


def test_a_bucket_that_is_not_there_is_said(bucket: str) -> None:
    with pytest.raises(UsageError, match=r"there is no bucket s3://no-such-bucket"):
        find_stores("s3://no-such-bucket/in")


def test_a_list_that_names_what_is_not_there_or_elsewhere_is_refused(remote: RemotePath) -> None:
    (remote / "a.txt").write(b"nothing.zarr.zip")
    with pytest.raises(UsageError, match=r"lists nothing.zarr.zip, which is in none of"):
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
            raise DataError(f"{again} is broken", code=Code.BAD_CHUNK)
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


def test_files_of_a_place_are_grouped_as_local_ones_by_a_listing_and_one_small_file(
    folder: RemotePath, tmp_path: Path, places: list[bytes], s3, temporary: Path
) -> None:
    files = {f"{i:03d}": b"" for i in range(130)} | {"001": places[0][:-1], "002": places[0]}
    write(folder, files)
    write(tmp_path / "s1", files)
    s3.fail()
    found = groups(folder)
    # A file without bytes, a damaged one, and the first that can be read.
    assert [method for method, _ in s3.requests] == ["GET"] * 4
    assert s3.count("list-type") == 1
    assert [group.name for group in found] == ["s1-000001", "s1-000002", "s1-000003"]
    assert shown(folder) == shown(tmp_path / "s1")
    for below in ("002.zarr.zip", "00[2-4]*", "*.zarr.zip"):
        assert shown(f"{folder}/{below}") == shown(f"{tmp_path}/s1/{below}") != []
    s3.fail()
    fingerprints = {open_remote(group).fingerprint for group in found}
    assert (len(fingerprints), s3.requests) == (3, [])
    assert not list(temporary.iterdir())


def test_a_folder_cut_into_parts_and_a_list_of_its_files(
    folder: RemotePath, tmp_path: Path, places: list[bytes]
) -> None:
    files = {f"part-{part:06d}/{part}{i}": places[i] for part in range(2) for i in range(2)}
    write(folder, files)
    write(tmp_path / "s1", files)
    assert shown(folder) == shown(tmp_path / "s1") != []
    for place in (folder, tmp_path / "s1"):
        data = "\n".join(f"{name}.zarr.zip" for name in files).encode()
        (folder / "list.txt").write(data) if place is folder else (tmp_path / "s1/list.txt").write_bytes(data)
    assert shown(folder / "list.txt") == shown(tmp_path / "s1/list.txt") == shown(folder)


def test_stores_are_not_taken_for_places_nor_fetched_to_see_it(remote: RemotePath, s3) -> None:
    (remote / "shard.tar").write(b"")
    s3.fail()
    assert all(isinstance(store, RemotePath) for store in find_stores(str(remote)))
    assert len(s3.requests) == 1


def test_a_group_is_read_as_the_local_one_also_what_is_damaged_or_too_large(
    folder: RemotePath, tmp_path: Path, places: list[bytes], s3, temporary: Path
) -> None:
    files = {"a": places[0], "b": places[1][:5000], "c": b"\1" * (MAX_MEMBER_BYTES + 1), "d": places[2], "e": b""}
    write(folder, files)
    write(tmp_path / "s1", files)
    (folder / "s1.truth.parquet").write(b"truth")
    (here,) = find_stores(tmp_path / "s1")
    (there,) = groups(folder)
    assert isinstance(here, Group)
    s3.fail("503", "cut", of=r"^GET .*d\.zarr\.zip")
    with local_copy(there) as copy:
        assert isinstance(copy, Group)
        assert (copy.folder / "s1.truth.parquet").read_bytes() == b"truth"
        for ours, theirs in zip(read_parts(copy), read_parts(here), strict=True):
            assert type(ours) is type(theirs)
            if isinstance(ours, UnreadablePlace):
                assert ours == theirs
            else:
                assert ours.stored.tobytes() == theirs.stored.tobytes()
                assert (ours.name, ours.ids) == (theirs.name, theirs.ids)
    # The file that is too large was not fetched.
    assert (s3.count(r"^GET .*c\.zarr\.zip"), s3.count(r"^GET .*d\.zarr\.zip")) == (0, 3)
    with pytest.raises(DataError) as said, local_copy(there) as copy:
        raise DataError(f"{copy} is broken", code=Code.BAD_CHUNK)
    assert said.value.message == f"{folder} is broken"
    assert not list(temporary.iterdir())


def test_a_file_of_a_group_that_is_gone_is_said(folder: RemotePath, places: list[bytes], temporary: Path) -> None:
    write(folder, {"a": places[0], "b": places[1]})
    (group,) = groups(folder)
    assert look_again(group) == group
    (folder / "b.zarr.zip").remove()
    with pytest.raises(DataError, match=r"b\.zarr\.zip does not exist"):
        look_again(group)
    with pytest.raises(DataError, match=r"b\.zarr\.zip does not exist"), local_copy(group):
        pass
    (folder / "a.zarr.zip").remove()
    with pytest.raises(DataError, match=r"\.zarr\.zip does not exist"):
        look_again(group)
    assert not list(temporary.iterdir())


def test_a_plan_asks_once_for_a_tar_and_sees_another(folder: RemotePath, s3, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = folder / "shard.tar"
    tar.write(b"1" * 5000)
    assert find_stores(str(tar)) == find_stores(str(folder)) == [tar]
    s3.fail("503")
    first = open_remote(tar)
    assert [method for method, _ in s3.requests] == ["HEAD", "HEAD"]
    assert (first.source_bytes, open_remote(tar)) == (5000, first)
    tar.write(b"1" * 4999 + b"2")
    assert open_remote(tar).fingerprint != first.fingerprint
    (folder / "other.tar").write(b"1" * 5000)
    # An ETag says which version of one URL it is, and no more.
    assert open_remote(folder / "other.tar").fingerprint != first.fingerprint
    monkeypatch.setattr(remote_module, "MAX_TAR_BYTES", 4999)
    with pytest.raises(DataError, match=r"shard\.tar has 5,000 bytes: at a URL a tar may have 4,999"):
        open_remote(tar)
    with pytest.raises(DataError, match="does not exist"):
        open_remote(folder / "nothing.tar")


def test_without_an_etag_a_tar_and_files_of_a_place_are_refused_with_what_to_do(
    tmp_path: Path, web_server: str, places: list[bytes]
) -> None:
    write(tmp_path / "s1", {"a": places[0], "b": places[1]})
    (tmp_path / "shard.tar").write_bytes(b"0" * 10240)
    (tar,) = find_stores(f"{web_server}/shard.tar")
    (group,) = groups(f"{web_server}/s1")
    assert shown(f"{web_server}/s1") == shown(tmp_path / "s1")
    for store in (tar, group):
        with pytest.raises(DataError, match=r"does not say its checksum or a \(strong\) ETag.*Fetch it first"):
            open_remote(store)  # type: ignore[arg-type]


def test_a_web_server_with_etags_that_lists_nothing_gives_tars_and_listed_files(
    folder: RemotePath, places: list[bytes], s3
) -> None:
    address = folder.url.replace("s3://", f"http://{s3.address}/")

    def publish(name: str, data: bytes) -> None:
        connection = http.client.HTTPConnection(s3.address)
        path = address.removeprefix(f"http://{s3.address}")
        connection.request("PUT", f"{path}/{name}", data, {"x-amz-acl": "public-read"})
        assert connection.getresponse().status == 200
        connection.close()

    files = {"a.zarr.zip": places[0], "b.zarr.zip": places[1], "shard.tar": b"1" * 10240}
    for name, data in {**files, "list.txt": b"a.zarr.zip\nb.zarr.zip"}.items():
        publish(name, data)
    (tar,) = find_stores(f"{address}/shard.tar")
    assert isinstance(tar, RemotePath)
    assert open_remote(tar).source_bytes == 10240
    (group,) = groups(f"{address}/list.txt")
    assert look_again(group) == group
    before = open_remote(group)
    with local_copy(group) as copy:
        assert [type(part) for part in read_parts(copy)] == [Store, Store]
    publish("b.zarr.zip", places[2])
    (again,) = groups(f"{address}/list.txt")
    assert open_remote(again) != before
    assert look_again(group) == again


def test_copies_of_groups_leave_no_sockets(folder: RemotePath, places: list[bytes]) -> None:
    write(folder, {f"{i}": places[i % 3][:20_000] if i else places[0] for i in range(10)})
    (group,) = groups(folder)
    process = psutil.Process()

    def read() -> None:
        look_again(group)
        with local_copy(group):
            pass

    for _ in range(5):
        read()
    before = process.num_fds()
    for _ in range(20):
        read()
    assert process.num_fds() <= before + 8
