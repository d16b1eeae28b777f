from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.errors import DamagedError, StorageError
from sarpipe.storage import Artefact, artefact, commit, ensure, inspect, open_verified
from sarpipe.storage.artefact import MANIFEST, recoverable, sweep, verify_part
from sarpipe.storage.key import file_sha256

Start = Callable[..., subprocess.Popen[str]]


def write_two(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"first")
    (folder / "below").mkdir()
    (folder / "below" / "b.bin").write_bytes(b"second")


def write_other(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"other")


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith((".tmp-", ".old-", ".gone-"))]


def test_what_was_committed_is_opened_again(tmp_path: Path) -> None:
    made = commit(tmp_path / "new" / "unit", {"key": "k", "sizes": (1, 2)}, write_two)

    assert open_verified(made.folder) == inspect(made.folder) == made
    assert made.files.keys() == {"a.bin", "below/b.bin"}
    assert made.meta == {"key": "k", "sizes": [1, 2]}
    assert made.path("below/b.bin").read_bytes() == b"second"
    assert hidden(made.folder.parent) == []


def test_keys_of_meta_that_are_numbers_do_not_make_the_artefact_look_damaged(tmp_path: Path) -> None:
    made = commit(tmp_path / "unit", {"looks": {2: "two", 10: "ten"}}, write_two)

    assert open_verified(tmp_path / "unit") == made


def test_meta_that_json_cannot_say_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        commit(tmp_path / "unit", {"loss": float("nan")}, write_two)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stands", [False, True])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, stands: bool, failure: type[BaseException]) -> None:
    if stands:
        commit(tmp_path / "unit", {}, write_other)
    before = below(tmp_path)

    def write(folder: Path) -> None:
        write_two(folder)
        raise failure

    with pytest.raises(failure):
        commit(tmp_path / "unit", {}, write)

    assert below(tmp_path) == before
    assert hidden(tmp_path) == []


def test_an_interruption_stays_one_while_a_thread_of_the_writer_still_writes(tmp_path: Path) -> None:
    going, over = threading.Event(), threading.Event()

    def write_on(folder: Path) -> None:
        # As the threads of zarr do: they make the folders that they miss.
        for number in range(3000):
            with contextlib.suppress(FileNotFoundError):
                (folder / str(number % 7)).mkdir(parents=True, exist_ok=True)
                (folder / str(number % 7) / str(number)).touch()
            if number > 300:
                going.set()
            if over.is_set():
                break

    def write(folder: Path) -> None:
        thread.start()
        going.wait()
        raise KeyboardInterrupt

    thread = threading.Thread(target=write_on, args=(tmp_path / ".tmp-unit",))
    with pytest.raises(KeyboardInterrupt):
        commit(tmp_path / "unit", {}, write)
    over.set()
    thread.join()
    made, _ = ensure(tmp_path / "unit", {}, write_two)
    assert open_verified(made.folder) == made
    assert hidden(tmp_path) == []


def test_a_commit_replaces_the_whole_of_what_stood_there(tmp_path: Path) -> None:
    commit(tmp_path / "unit", {}, write_two)
    commit(tmp_path / "unit", {}, write_other)

    assert below(tmp_path / "unit").keys() == {"a.bin", MANIFEST}
    assert open_verified(tmp_path / "unit").path("a.bin").read_bytes() == b"other"
    assert hidden(tmp_path) == []


KILLED_AT_STEP = """
import os, signal, sys
from pathlib import Path
from sarpipe.storage import artefact, ensure

folder, last = Path(sys.argv[1]), int(sys.argv[2])
steps = 0
if sys.argv[3] == "False":
    artefact.exchange = lambda *_: False

def count(event, arguments):
    global steps
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

def write(temporary):
    (temporary / "a.bin").write_bytes(b"first")
    (temporary / "b.bin").write_bytes(b"second")

sys.addaudithook(count)
ensure(folder, {"version": 2}, write, force=True)
"""


@pytest.mark.parametrize(("stands", "exchange"), [(False, True), (True, True), (True, False)])
def test_killed_at_any_step_it_leaves_the_old_or_the_new_and_no_rerun_loses_either(
    tmp_path: Path, start_python: Start, stands: bool, exchange: bool
) -> None:
    def write(folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"first")
        (folder / "b.bin").write_bytes(b"second")

    left, found = set(), set()
    for step in range(200):
        folder = tmp_path / str(step) / "unit"
        if stands:
            commit(folder, {"version": 1}, write_other)
        child = start_python(KILLED_AT_STEP, folder, step, exchange)
        _, complaint = child.communicate(timeout=30)
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, complaint
        try:
            left.add(open_verified(folder).meta["version"])
        except FileNotFoundError:
            left.add(None)

        there = folder.exists() or recoverable(folder) is not None
        assert there or not stands
        again, made = ensure(folder, {"version": 2}, write)
        assert made is not there
        found.add((again.meta["version"], made))
        assert open_verified(folder) == again
        assert hidden(folder.parent) == []
    else:
        pytest.fail("the commit never came to its end")

    # Where two cannot change places at once there is a moment with neither in place: both are beside it.
    assert left == {1, 2} | ({None} if not exchange else set()) if stands else {None, 2}
    # What is there is never made again, nor is what was finished and only not in place.
    assert found == ({(1, False), (2, False)} if stands else {(2, True), (2, False)})
    assert step > 10


def stand_beside(folder: Path, start: str, write: Callable[[Path], object], key: str = "k") -> None:
    """What a killed maker leaves of an artefact that it had finished."""
    made = commit(folder.with_name("elsewhere"), {"key": key}, lambda temporary: write(temporary) and None)
    made.folder.rename(folder.with_name(f"{start}{folder.name}"))


def test_of_what_killed_makers_left_the_finished_comes_before_the_old_and_the_whole_before_the_damaged(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "unit"
    stand_beside(folder, ".old-", write_other)
    stand_beside(folder, ".tmp-", write_two)
    assert recoverable(folder, "k") == tmp_path / ".tmp-unit"
    (tmp_path / ".tmp-unit" / "a.bin").write_bytes(b"dirt")
    before = below(tmp_path)
    assert recoverable(folder, "k") == tmp_path / ".old-unit"
    assert recoverable(folder, "other") is None
    assert below(tmp_path) == before

    assert sweep(folder, "k")
    assert open_verified(folder).path("a.bin").read_bytes() == b"other"
    assert hidden(tmp_path) == []
    assert not sweep(folder, "k")


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("start", [".tmp-", ".old-"])
def test_what_is_whole_beside_a_damaged_artefact_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(artefact, "exchange", lambda *_: False)
    folder = tmp_path / "unit"
    commit(folder, {"key": "k"}, write_other)
    stand_beside(folder, start, write_two)
    (folder / "a.bin").write_bytes(b"dirt")

    made, computed = ensure(folder, {"key": "k"}, write_other)

    assert not computed
    assert made.path("a.bin").read_bytes() == b"first"
    assert hidden(tmp_path) == []


def test_what_killed_makers_left_of_another_key_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "unit"
    stand_beside(folder, ".tmp-", write_two, key="another")
    made, computed = ensure(folder, {"key": "k"}, write_other)
    assert (computed, made.meta["key"]) == (True, "k")
    assert hidden(tmp_path) == []


def test_what_is_removed_stays_removed_when_its_remover_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "unit"
    stand_beside(folder, ".gone-", write_two)
    assert recoverable(folder, "k") is None
    assert sweep(folder, "k")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [1, 2])
def test_an_interruption_between_two_renames_leaves_the_old_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    old = commit(tmp_path / "unit", {}, write_two)
    rename, calls = os.rename, []

    def interrupted(*paths: Path) -> None:
        calls.append(paths)
        if len(calls) == at:
            raise KeyboardInterrupt
        rename(*paths)

    monkeypatch.setattr(artefact, "exchange", lambda *_: False)
    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensure(old.folder, {}, write_other, force=True)
    assert open_verified(old.folder) == old


def test_a_whole_artefact_in_the_place_of_another_is_made_anew(tmp_path: Path) -> None:
    other = commit(tmp_path / "other", {"key": "other"}, write_other)
    shutil.copytree(other.folder, tmp_path / "unit")

    made, computed = ensure(tmp_path / "unit", {"key": "k"}, write_two)

    assert (computed, made.meta["key"]) == (True, "k")
    assert open_verified(tmp_path / "unit") == made
    assert open_verified(other.folder) == other


@pytest.mark.parametrize("file", ["a.bin", MANIFEST])
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_where_the_disk_fails_it_is_damage_and_where_nobody_may_read_it_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, file: str
) -> None:
    made, _ = ensure(tmp_path / "unit", {"key": "k"}, write_two)
    failing = OSError(number, os.strerror(number), str(made.folder / file))

    def fail(path: Path) -> None:
        if path == made.folder / file:
            raise failing

    read, read_bytes = file_sha256, Path.read_bytes
    monkeypatch.setattr(artefact, "known_sha256", lambda path: (fail(path), read(path))[1])
    monkeypatch.setattr(Path, "read_bytes", lambda path: (fail(path), read_bytes(path))[1])

    expected = DamagedError if number == errno.EIO else OSError
    with pytest.raises(expected) as caught:
        open_verified(made.folder)
    assert file in str(caught.value)
    if number != errno.EIO:
        with pytest.raises(OSError, match=os.strerror(number)):
            ensure(made.folder, {"key": "k"}, write_two)
        return
    assert ensure(made.folder, {"key": "k"}, write_two) == (made, True)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_what_cannot_be_read_while_it_is_made_is_not_said_to_be_a_place_that_cannot_be_written(
    tmp_path: Path, number: int, named: bool
) -> None:
    source = tmp_path / "inputs" / "cubes.npy"

    def write(folder: Path) -> None:
        raise OSError(number, os.strerror(number), *([str(source)] if named else []))

    if number == errno.EACCES and not named:
        pytest.skip("the system names what may not be read")
    with pytest.raises(StorageError) as caught:
        ensure(tmp_path / "units" / "unit", {}, write)
    assert "cannot write" not in caught.value.message
    assert (str(source) if named else "a disk fails") in caught.value.message


def test_a_writer_that_kills_itself_leaves_the_old(tmp_path: Path, start_python: Start) -> None:
    old = commit(tmp_path / "unit", {}, write_two)
    child = start_python(
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sarpipe.storage import commit\n"
        "def write(folder):\n"
        "    (folder / 'a.bin').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "commit(Path(sys.argv[1]), {}, write)\n",
        old.folder,
    )

    child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    assert hidden(tmp_path) == [".tmp-unit"]
    assert open_verified(old.folder) == old
    assert ensure(old.folder, {}, write_two) == (old, False)
    assert hidden(tmp_path) == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def edit_meta(folder: Path) -> None:
    manifest = folder / MANIFEST
    document = json.loads(manifest.read_bytes())
    document["meta"]["key"] = "another"
    manifest.write_text(json.dumps(document))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": lambda folder: flip(folder / "below" / "b.bin"),
    "cut": lambda folder: (folder / "a.bin").write_bytes(b"fir"),
    "missing": lambda folder: (folder / "a.bin").unlink(),
    "extra": lambda folder: (folder / "below" / "c.bin").write_bytes(b""),
    "renamed": lambda folder: (folder / "a.bin").rename(folder / "c.bin"),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "manifest cut": lambda folder: os.truncate(folder / MANIFEST, 100),
    "manifest empty": lambda folder: os.truncate(folder / MANIFEST, 0),
    "manifest edited": edit_meta,
    "manifest is a list": lambda folder: (folder / MANIFEST).write_text("[]"),
    "manifest too deep": lambda folder: (folder / MANIFEST).write_text("[" * 100_000),
    "manifest is a folder": lambda folder: ((folder / MANIFEST).unlink(), (folder / MANIFEST).mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed_and_ensure_mends_it(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    made, _ = ensure(tmp_path / "unit", {"key": "k"}, write_two)
    damage(made.folder)

    with pytest.raises(DamagedError) as caught:
        open_verified(made.folder)
    assert str(made.folder) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)

    assert ensure(made.folder, {"key": "k"}, write_two) == (made, True)
    assert open_verified(made.folder) == made


@pytest.fixture(scope="module")
def one_artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return commit(tmp_path_factory.mktemp("artefact") / "unit", {"key": "k"}, write_two)


@settings(deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(one_artefact: Artefact, place: int, bit: int) -> None:
    whole = below(one_artefact.folder)
    places = [(name, offset) for name, data in sorted(whole.items()) for offset in range(len(data))]
    name, offset = places[place % len(places)]
    data = bytearray(whole[name])
    data[offset] ^= 1 << bit
    one_artefact.path(name).write_bytes(bytes(data))

    # White space of the manifest says nothing: then the artefact has to be the very same.
    try:
        assert open_verified(one_artefact.folder) == one_artefact
    except DamagedError:
        pass
    else:
        assert name == MANIFEST
    finally:
        one_artefact.path(name).write_bytes(whole[name])


def test_nothing_there_is_not_damage(tmp_path: Path) -> None:
    for look in (inspect, open_verified):
        with pytest.raises(FileNotFoundError):
            look(tmp_path / "unit")


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.bin").write_bytes(b"first")
    made = commit(tmp_path / "unit", {}, write_two)

    (made.folder / "below" / "to-folder").symlink_to(outside)
    with pytest.raises(DamagedError, match="to-folder is not in the manifest"):
        open_verified(made.folder)
    (made.folder / "below" / "to-folder").unlink()

    # The same bytes, but not ours: they may change or vanish without a word.
    (outside / "a.bin").write_bytes(b"other")
    (made.folder / "a.bin").unlink()
    (made.folder / "a.bin").symlink_to(outside / "a.bin")
    with pytest.raises(DamagedError, match="not a regular file"):
        open_verified(made.folder)

    ensure(made.folder, {}, write_other)
    assert (outside / "a.bin").read_bytes() == b"other"
    assert not made.path("a.bin").is_symlink()


@pytest.mark.parametrize("target", ["/etc", "/nowhere", "a.bin"])
def test_a_link_cannot_be_committed(tmp_path: Path, target: str) -> None:
    def write(folder: Path) -> None:
        write_other(folder)
        (folder / "link").symlink_to(target)

    with pytest.raises(StorageError, match="link is not a regular file"):
        commit(tmp_path / "unit", {}, write)

    assert list(tmp_path.iterdir()) == []


def test_a_pipe_in_an_artefact_does_not_hang_the_check(tmp_path: Path) -> None:
    made = commit(tmp_path / "unit", {}, write_other)
    (made.folder / "a.bin").unlink()
    os.mkfifo(made.folder / "a.bin")

    with pytest.raises(DamagedError, match="not a regular file"):
        open_verified(made.folder)


def test_ensure_makes_once_reuses_and_forces(tmp_path: Path) -> None:
    calls = []

    def write(folder: Path) -> None:
        calls.append(folder)
        write_two(folder)

    first, made = ensure(tmp_path / "unit", {}, write)
    second, remade = ensure(tmp_path / "unit", {}, write)
    assert (made, remade, len(calls)) == (True, False, 1)
    assert first == second

    _, forced = ensure(tmp_path / "unit", {}, write, force=True)
    assert (forced, len(calls)) == (True, 2)


def test_two_makers_at_once_make_it_once(tmp_path: Path, start_python: Start) -> None:
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from sarpipe.storage import ensure\n"
        "folder = Path(sys.argv[1])\n"
        "def write(temporary):\n"
        "    (folder.parent / f'made-by-{os.getpid()}').touch()\n"
        "    time.sleep(0.3)\n"
        "    (temporary / 'a.bin').write_bytes(b'first')\n"
        "print('ready', flush=True)\n"
        "while not Path(sys.argv[2]).exists(): time.sleep(0.005)\n"
        "print(ensure(folder, {}, write)[1], flush=True)\n"
    )
    children = [start_python(program, tmp_path / "unit", tmp_path / "go") for _ in range(3)]
    for child in children:
        assert read_line(child.stdout) == "ready"
    (tmp_path / "go").touch()

    assert sorted(child.communicate(timeout=30)[0].strip() for child in children) == ["False", "False", "True"]
    assert len(list(tmp_path.glob("made-by-*"))) == 1
    assert open_verified(tmp_path / "unit").files.keys() == {"a.bin"}


def read_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def test_the_lock_of_a_killed_maker_is_free(tmp_path: Path, start_python: Start) -> None:
    child = start_python(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from sarpipe.storage import ensure\n"
        "def write(folder):\n"
        "    print('inside', flush=True)\n"
        "    time.sleep(60)\n"
        "ensure(Path(sys.argv[1]), {}, write)\n",
        tmp_path / "unit",
    )
    assert read_line(child.stdout) == "inside"
    child.kill()
    child.communicate(timeout=30)

    assert ensure(tmp_path / "unit", {}, write_two)[1]


def test_digest_is_of_names_and_bytes_alone(tmp_path: Path) -> None:
    one = commit(tmp_path / "one", {"key": "k"}, write_two)
    two = commit(tmp_path / "elsewhere" / "two", {"key": "other"}, write_two)
    os.utime(two.path("a.bin"), (0, 0))
    three = commit(tmp_path / "three", {"key": "k"}, write_other)

    assert one.digest == two.digest == open_verified(two.folder).digest
    assert one.digest != three.digest

    def renamed(folder: Path) -> None:
        write_two(folder)
        (folder / "a.bin").rename(folder / "c.bin")

    assert commit(tmp_path / "four", {}, renamed).digest != one.digest


def save_array(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        np.save(full, np.zeros(100_000))


@pytest.mark.parametrize(
    "write", [lambda folder: Path("/dev/full").write_bytes(b"x" * 100_000), save_array], ids=["bytes", "numpy"]
)
def test_a_full_disk_is_said_and_the_old_stays(tmp_path: Path, write: Callable[[Path], None]) -> None:
    old = commit(tmp_path / "unit", {}, write_two)

    with pytest.raises(StorageError, match="no space left") as caught:
        ensure(old.folder, {}, write, force=True)

    assert str(old.folder) in caught.value.message
    assert "space" in caught.value.hint
    assert open_verified(old.folder) == old
    assert hidden(tmp_path) == []


def test_a_disk_that_fills_up_while_a_child_writes(tmp_path: Path, start_python: Start) -> None:
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", disk], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        old = commit(disk / "unit", {}, write_two)
        child = start_python(
            "import sys\n"
            "import numpy as np\n"
            "from pathlib import Path\n"
            "from sarpipe.errors import StorageError\n"
            "from sarpipe.storage import ensure\n"
            "try:\n"
            "    ensure(Path(sys.argv[1]), {}, lambda f: np.save(f / 'a.npy', np.zeros(10**6)), force=True)\n"
            "except StorageError as error:\n"
            "    print(error)\n",
            old.folder,
        )
        said, complaint = child.communicate(timeout=60)

        assert "no space left" in said, complaint
        assert open_verified(old.folder) == old
        assert hidden(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_limit_on_file_size_is_said(tmp_path: Path, start_python: Start) -> None:
    child = start_python(
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from sarpipe.errors import StorageError\n"
        "from sarpipe.storage import ensure\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    ensure(Path(sys.argv[1]), {}, lambda f: (f / 'a.bin').write_bytes(bytes(10**6)))\n"
        "except StorageError as error:\n"
        "    print(error)\n",
        tmp_path / "unit",
    )
    said, complaint = child.communicate(timeout=30)

    assert "File too large" in said, complaint
    assert "--data" in said
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("where", ["file as parent", "file as folder", "kernel"])
def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    # Nobody, not even root, makes a folder in /sys.
    folder = {
        "file as parent": tmp_path / "file" / "unit",
        "file as folder": tmp_path / "file",
        "kernel": Path("/sys/sarpipe/unit"),
    }[where]

    for make in (ensure, commit):
        with pytest.raises(StorageError, match="cannot write") as caught:
            make(folder, {}, write_two)
        assert "--data" in caught.value.hint
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert hidden(tmp_path) == []


def test_an_error_of_the_writer_that_is_not_the_disks_is_not_renamed(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "not-there" / "a.bin").read_bytes()

    with pytest.raises(FileNotFoundError):
        commit(tmp_path / "unit", {}, write)


def test_a_file_is_compared_with_the_manifest_beside_it_that_names_it(tmp_path: Path) -> None:
    made = commit(tmp_path / "unit", {}, write_two)
    ours, other = made.path("a.bin"), tmp_path / "unit" / "mine.bin"
    other.write_bytes(b"mine")
    (tmp_path / "link.bin").symlink_to(ours)
    assert verify_part(ours) == verify_part(tmp_path / "link.bin") == made
    assert verify_part(other) is verify_part(tmp_path / "alone.bin") is None
    content = ours.read_bytes()
    ours.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    for path in (ours, tmp_path / "link.bin"):
        with pytest.raises(DamagedError, match=r"a\.bin does not match its checksum"):
            verify_part(path)
    assert verify_part(other) is None
    (tmp_path / "unit" / "manifest.json").write_bytes(b"{")
    with pytest.raises(DamagedError, match=r"and mine\.bin is beside it") as caught:
        verify_part(other)
    assert "copy it elsewhere" in caught.value.hint


def test_an_artefact_may_be_empty(tmp_path: Path) -> None:
    made = commit(tmp_path / "unit", {}, lambda folder: None)

    assert isinstance(open_verified(made.folder), Artefact)
    assert not made.files
