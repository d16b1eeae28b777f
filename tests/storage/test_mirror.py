from collections.abc import Callable
from pathlib import Path

import pytest

from sarpipe.errors import DamagedError, RemoteError, UsageError
from sarpipe.storage import Artefact, ensure, mirror
from sarpipe.storage.mirror import address, fetched, mount, read_small, synced, write_small
from sarpipe.storage.remote import ATTEMPTS, RemotePath, remote_path

FILES = {"a.bin": b"a" * 1000, "below/b.bin": b"b" * 2000, "c.txt": b"c"}


def write(folder: Path, files: dict[str, bytes] = FILES) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def never(folder: Path) -> None:
    raise AssertionError("it was to be made again")


def contents(artefact: Artefact) -> dict[str, bytes]:
    return {name: artefact.path(name).read_bytes() for name in artefact.files}


@pytest.fixture
def url(bucket: str) -> str:
    return f"{bucket}/output"


@pytest.fixture
def machine(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Be a machine with a cache of its own: the folder of one artefact there."""

    def be(name: str) -> Path:
        monkeypatch.setenv("SARPIPE_CACHE", str(tmp_path / name))
        monkeypatch.setattr(mirror, "_mounts", {})
        return mount(url) / "models" / "m-123"

    return be


@pytest.fixture
def there(url: str) -> RemotePath:
    return remote_path(f"{url}/models/m-123")


def test_what_one_machine_makes_another_reuses(machine, there: RemotePath) -> None:
    made, computed = ensure(machine("one"), {"key": "k"}, write)
    assert computed
    assert set(there.files()) == {*FILES, "manifest.json"}

    other, computed = ensure(machine("two"), {"key": "k"}, never)
    assert not computed
    assert other.folder != made.folder
    assert (contents(other), other.digest, other.meta) == (FILES, made.digest, made.meta)


def test_a_machine_that_has_it_fetches_nothing_again(machine, s3) -> None:
    folder = machine("one")
    made, _ = ensure(folder, {}, write)
    s3.fail()
    assert synced(folder) == made
    assert len(s3.requests) == 2  # the manifest and a listing
    s3.fail()
    assert fetched(folder, made.digest) == made
    assert s3.requests == []


def test_the_cache_may_be_deleted_or_damaged(machine, there: RemotePath) -> None:
    folder = machine("one")
    made, _ = ensure(folder, {}, write)
    made.path("a.bin").write_bytes(b"x" * 1000)
    assert contents(fetched(folder, made.digest)) == FILES
    machine("elsewhere")
    assert contents(synced(machine("two"))) == FILES


@pytest.mark.parametrize(("uploads", "how"), [(0, "503"), (2, "503"), (3, "503"), (1, "404")])
def test_an_upload_that_is_cut_off_is_not_there_and_a_rerun_completes_it(
    machine, there: RemotePath, s3, uploads: int, how: str
) -> None:
    folder = machine("one")
    s3.fail(*["pass"] * uploads, *[how] * 100, of="^PUT")
    with pytest.raises(RemoteError, match=f"{there}/.* failed {ATTEMPTS} times|cannot write {there}/"):
        ensure(folder, {}, write)
    s3.fail()

    other = machine("two")
    with pytest.raises(FileNotFoundError):
        synced(other)
    folder = machine("one")
    made, computed = ensure(folder, {}, never)
    assert not computed
    assert contents(synced(machine("two"))) == FILES == contents(made)


@pytest.mark.parametrize("requests", [0, 1, 2, 4, 5])
def test_a_replacement_that_is_cut_off_is_never_a_mix(machine, there: RemotePath, s3, requests: int) -> None:
    ensure(machine("one"), {}, write)
    new = {"a.bin": b"A" * 1000, "c.txt": b"C", "d.txt": b"d"}
    s3.fail(*["pass"] * requests, *["503"] * 100, of="^(PUT|DELETE|POST)")
    with pytest.raises(RemoteError):
        ensure(machine("one"), {}, lambda folder: write(folder, new), force=True)
    s3.fail()

    other = machine("two")
    try:
        assert contents(synced(other)) == FILES  # nothing was begun
        assert requests == 0
    except FileNotFoundError:
        assert requests > 0
    found, _ = ensure(machine("one"), {}, never)
    assert contents(found) == (new if requests else FILES)
    assert contents(synced(machine("two"))) == contents(found)


def test_a_replaced_artefact_replaces_the_copies(machine) -> None:
    ensure(machine("one"), {}, write)
    ensure(machine("two"), {}, never)
    new = {"a.bin": b"A" * 1000}
    ensure(machine("one"), {}, lambda folder: write(folder, new), force=True)
    assert contents(synced(machine("two"))) == new


def test_a_replacement_in_the_midst_of_a_fetch_is_noticed(machine, there: RemotePath, monkeypatch) -> None:
    ensure(machine("one"), {}, write)
    new = {name: data.upper() for name, data in FILES.items()}
    fetch = RemotePath.fetch
    left = [1]

    def replaced_between(path: RemotePath, *arguments) -> None:
        if path.name == "b.bin" and left:
            left.clear()
            ensure(machine("one"), {}, lambda folder: write(folder, new), force=True)
            machine("two")
        fetch(path, *arguments)

    monkeypatch.setattr(RemotePath, "fetch", replaced_between)
    assert contents(synced(machine("two"))) == new


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda there: (there / "a.bin").write(b"x" * 1000), "a.bin does not match its checksum"),
        (lambda there: (there / "a.bin").write(b"x"), "a.bin has 1 bytes, needs 1,000"),
        (lambda there: (there / "a.bin").remove(), "a.bin is missing"),
        (lambda there: (there / "below" / "extra").write(b"x"), "below/extra is not in the manifest"),
        (lambda there: (there / "manifest.json").write(b"{}"), "manifest.json is damaged"),
    ],
)
def test_what_is_damaged_at_the_url_is_named_and_mended(machine, there: RemotePath, harm, why: str) -> None:
    ensure(machine("one"), {}, write)
    harm(there)
    with pytest.raises(DamagedError, match=f"{there}/{why}"):
        synced(machine("two"))
    made, computed = ensure(machine("two"), {}, write)
    assert computed
    assert contents(made) == FILES
    assert contents(synced(machine("three"))) == FILES


def test_a_manifest_that_names_files_elsewhere_is_not_followed(machine, there: RemotePath, tmp_path: Path) -> None:
    made, _ = ensure(machine("one"), {}, write)
    forged = Artefact(made.folder, {}, {**made.files, "../../../../escaped": made.files["c.txt"]})
    folder = tmp_path / "forged"
    folder.mkdir()
    mirror.local._write_manifest(folder, forged)
    (there / "manifest.json").put(folder / "manifest.json")
    with pytest.raises((DamagedError, RemoteError), match="escaped"):
        synced(machine("two"))
    assert not list(tmp_path.rglob("escaped"))


def test_small_files_are_those_at_the_url(machine, url: str) -> None:
    write_small(machine("one").parent / "current.json", b"1")
    write_small(machine("two").parent / "current.json", b"2")
    assert read_small(machine("one").parent / "current.json") == b"2"
    assert remote_path(f"{url}/models/current.json").read(10) == b"2"
    with pytest.raises(FileNotFoundError):
        read_small(machine("one").parent / "nothing")


def test_what_a_user_is_shown_is_the_url(machine, there: RemotePath, tmp_path: Path) -> None:
    assert address(machine("one") / "a.bin") == f"{there}/a.bin"
    assert address(tmp_path) == str(tmp_path)


def test_the_web_cannot_be_written_to() -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        mount("https://host/folder")


def test_a_bucket_that_is_not_there_is_said_before_anything_is_made(s3) -> None:
    with pytest.raises(UsageError, match="no bucket s3://no-such-bucket"):
        mount("s3://no-such-bucket/x")


def test_what_is_whole_and_of_another_key_is_replaced_at_the_url_too(machine, there: RemotePath) -> None:
    ensure(machine("one"), {"key": "another"}, lambda folder: write(folder, {"a.bin": b"another"}))
    made, computed = ensure(machine("two"), {"key": "k"}, write)
    assert (computed, contents(made)) == (True, FILES)
    assert contents(synced(machine("three"))) == FILES


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_of_two_who_publish_other_bytes_at_once_no_mix_stays(
    machine, there: RemotePath, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The other comes and ends after so many uploads of the one: two trainings, of which no two need be the same."""
    put, puts = mirror._put, [0]
    other = {name: data.upper() for name, data in FILES.items()}

    def put_and_wait(path: RemotePath, file: Path) -> None:
        put(path, file)
        puts[0] += 1
        if puts[0] == number:
            cache, mounts = machine("one").parent.parent, dict(mirror._mounts)
            ensure(machine("two"), {"key": "k"}, lambda folder: write(folder, other), force=True)
            monkeypatch.setattr(mirror, "_mounts", mounts)
            assert cache in mounts

    monkeypatch.setattr(mirror, "_put", put_and_wait)
    with pytest.raises(RemoteError, match="another machine has published"):
        ensure(machine("one"), {"key": "k"}, write)

    # The other's, whole, or nothing; then what the one has made is published.
    try:
        assert contents(synced(machine("three"))) == other
    except FileNotFoundError:
        assert number < 4
    made, computed = ensure(machine("one"), {"key": "k"}, never)
    assert not computed
    assert contents(synced(machine("three"))) == contents(made)
