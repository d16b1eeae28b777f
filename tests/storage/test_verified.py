import os
import time
from pathlib import Path

import pytest

from sarpipe.errors import DamagedError
from sarpipe.storage import Artefact, commit, open_verified
from sarpipe.storage.key import file_sha256
from sarpipe.storage.verified import known_sha256


def bytes_read() -> int:
    """By this process, through system calls."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def settle() -> None:
    """Wait until what was just written counts as settled."""
    time.sleep(2.1)


@pytest.fixture
def artefact(tmp_path: Path) -> Artefact:
    made = commit(tmp_path / "unit", {}, lambda folder: (folder / "cubes.npy").write_bytes(bytes(4_000_000)) and None)
    settle()
    return made


def test_a_file_is_read_once_as_long_as_it_lies_as_it_lay(artefact: Artefact) -> None:
    before = bytes_read()
    open_verified(artefact.folder)
    once = bytes_read() - before
    for _ in range(3):
        open_verified(artefact.folder)
    assert once > 4_000_000
    assert bytes_read() - before < once + 100_000


@pytest.mark.parametrize("how", ["changed", "changed and dated back", "replaced and dated back"])
def test_a_change_of_the_same_size_is_seen_at_the_next_look(artefact: Artefact, how: str) -> None:
    open_verified(artefact.folder)
    victim = artefact.path("cubes.npy")
    times = victim.stat()
    if how.startswith("replaced"):
        other = victim.with_name("other")
        other.write_bytes(bytes(3_999_999) + b"x")
        os.replace(other, victim)
    else:
        with victim.open("r+b") as file:
            file.write(b"x")
    if how.endswith("dated back"):
        os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(DamagedError, match="does not match"):
        open_verified(artefact.folder)
    settle()
    with pytest.raises(DamagedError, match="does not match"):
        open_verified(artefact.folder)


def test_what_was_written_a_moment_ago_is_read_each_time(tmp_path: Path) -> None:
    # A file system that counts in seconds would give a second write within one the same time.
    path = tmp_path / "file"
    for content in (b"a", b"b", b"c"):
        path.write_bytes(content)
        assert known_sha256(path) == file_sha256(path)
    before = bytes_read()
    known_sha256(path)
    assert bytes_read() > before
