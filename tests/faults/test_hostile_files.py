"""No code from data, no byte outside the output, no more memory than a store has a right to."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numcodecs
import numpy as np
import pytest

from sarpipe.cubes import RowFiles
from sarpipe.embeddings.geoparquet import read_geoparquet
from sarpipe.errors import DataError, SarpipeError, UsageError
from sarpipe.model.encoder import Encoder, EncoderConfig
from sarpipe.model.weights import load_encoder, save_encoder
from sarpipe.search.index import Index
from sarpipe.settings import parse_overrides, resolve
from sarpipe.ssl4eo import open_archive, read_store
from sarpipe.ssl4eo.shard import open_shard

ROOT = Path(__file__).resolve().parent.parent.parent
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
"""Modules that run code which they find in data."""


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, object]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            names = {word.arg: getattr(word.value, "value", None) for word in node.keywords if word.arg}
            yield ast.unparse(node.func), names


def test_no_line_of_ours_runs_what_it_reads() -> None:
    files = [path for layer in ("sarpipe", "flows", "tasks", "benchmarks") for path in (ROOT / layer).rglob("*.py")]
    assert len(files) > 200
    found = []
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path}: {name}" for name in modules if name.split(".")[0] in FORBIDDEN]
        for name, words in calls(tree):
            last = name.rpartition(".")[2]
            bad = (
                name
                in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle", "torch.load")
                or last in ("extractall", "extract_all", "to_pickle", "unpack_archive")
                or (name.startswith("yaml.") and last in ("load", "load_all", "unsafe_load", "full_load"))
                or words.get("allow_pickle") is True
                or words.get("weights_only") is False
                or words.get("shell") is True
            )
            found += [f"{path}: {name}({words})"] if bad else []
    assert found == []


def test_versions_that_ran_code_found_in_data_are_not_allowed() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"torch>=2.6"' in text
    assert '"numcodecs>=0.16.1"' in text
    assert 'results.default_serializer = "json"' in text


class Payload:
    """Touches a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (self._marker, os.O_CREAT)


@pytest.fixture
def payload(tmp_path: Path) -> Iterator[bytes]:
    """A pickle; the test fails if it was unpickled."""
    marker = tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()
    marker.unlink()
    yield pickle.dumps(Payload(marker))
    assert not marker.exists()


def objects(payload: bytes) -> bytes:
    """An ``.npy`` file of objects, whose data are the payload."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return buffer.getvalue() + payload


def test_pickles_in_the_place_of_our_files_are_not_run(tmp_path: Path, payload: bytes) -> None:
    one = np.zeros(1, int)
    encoder = Encoder(EncoderConfig(), np.zeros(12), np.ones(12))
    readers: dict[str, Callable[[Path], object]] = {
        "cubes.npy": lambda path: RowFiles([path], one, one),
        "encoder.safetensors": lambda path: load_encoder(path.parent),
        "ids.npy": lambda path: Index.read(path.parent),
        "embeddings.parquet": read_geoparquet,
        "config.yaml": lambda path: resolve(data=tmp_path, config=path),
        "s.zarr.zip": open_archive,
        "s.tar": open_shard,
    }
    save_encoder(tmp_path, encoder)
    for name, read in readers.items():
        for data in (payload, objects(payload), b"\x08\0\0\0\0\0\0\0" + payload):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(SarpipeError if name != "cubes.npy" else (SarpipeError, ValueError)):
                read(tmp_path / name)


def test_yaml_makes_values_and_nothing_else(tmp_path: Path) -> None:
    text = f"!!python/object/apply:os.mknod ['{tmp_path}/executed']"
    (tmp_path / "c.yaml").write_text(f"train: {text}")
    with pytest.raises(UsageError):
        resolve(data=tmp_path, config=tmp_path / "c.yaml")
    with pytest.raises(UsageError):
        parse_overrides([f"train.epochs={text}"])
    assert not (tmp_path / "executed").exists()


BOMBS = ("blosc", "lz4", "zlib", "zstd", "deflate", "claim", "many", "comment")


def bomb(kind: str, files: dict[str, bytes], path: Path) -> None:
    """A zip of a store of which one chunk stands for 1.5 GB, or that claims or lists more than any store has."""
    codec, chunk = {"id": kind}, "bands/0.0.0.0.0"
    document = json.loads(files["bands/.zarray"])
    zeros = bytes(1_500_000_000)
    if kind in ("blosc", "lz4", "zlib", "zstd"):
        encoded = zlib.compress(zeros, 1) if kind == "zlib" else bytes(numcodecs.get_codec(codec).encode(zeros))
        chunks = {name: encoded for name in files if name.startswith("bands/0")}
        files = {**files, **chunks, "bands/.zarray": json.dumps({**document, "compressor": codec}).encode()}
    if kind == "claim":
        shape = [10**9, 4, 2, 264, 264]
        files = {**files, "bands/.zarray": json.dumps({**document, "shape": shape, "chunks": shape}).encode()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if kind == "deflate" else zipfile.ZIP_STORED) as bundle:
        for name, data in files.items():
            bundle.writestr(name, zeros[:150_000_000] if kind == "deflate" and name == chunk else data)
    if kind == "deflate":
        # As if the member were as long as it has to be: the reader must not inflate to the end of it.
        real, size = struct.pack("<I", 150_000_000), len(files[chunk])
        path.write_bytes(path.read_bytes().replace(real, struct.pack("<I", size)))
    if kind in ("many", "comment"):
        entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
        directory = entry * 1_000_000
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, len(directory), 0, 4 if kind == "comment" else 0)
        path.write_bytes(directory + end + (b"note" if kind == "comment" else b""))


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_take_no_memory(small_stores: Path, tmp_path: Path, kind: str) -> None:
    with zipfile.ZipFile(sorted(small_stores.glob("*.zarr.zip"))[0]) as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    bomb(kind, files, tmp_path / "s.zarr.zip")
    code = """
import resource, sys
from pathlib import Path
from sarpipe.errors import DataError
from sarpipe.ssl4eo import read_store
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
try:
    read_store(Path(sys.argv[1]))
except DataError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, str(error)[:300])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.zarr.zip")], capture_output=True, text=True, check=True
    )
    grown, _, said = done.stdout.partition(" ")
    assert said
    # A store of five places is 11 MB in memory.
    assert int(grown) < 100_000, (grown, said)


NAMES = ["../x", "/tmp/x", "C:\\x", "a/../../x", "a\0b", "bands/0.0.0.0.0/", "x" * 60_000, "\udcff"]


def test_names_in_a_zip_lead_nowhere(small_stores: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inner" / "stores"
    folder.mkdir(parents=True)
    (tmp_path / "inner" / "x").write_text("canary")
    store = folder / "s.zarr.zip"
    with zipfile.ZipFile(sorted(small_stores.glob("*.zarr.zip"))[0]) as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    for name in NAMES:
        with zipfile.ZipFile(store, "w") as bundle:
            for own, data in files.items():
                bundle.writestr(own, data)
            info = zipfile.ZipInfo("placeholder")
            info.filename = name.encode("utf-8", "replace").decode()
            # A symbolic link, as Info-ZIP marks it.
            info.external_attr = 0o120777 << 16
            bundle.writestr(info, b"/etc/passwd")
        with suppress(DataError):
            assert len(read_store(store).ids) == 5
    assert (tmp_path / "inner" / "x").read_text() == "canary"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "s.zarr.zip", "stores", "x"]


def header(name: bytes = b"a.zarr.zip", size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    block = bytearray(name.ljust(100, b"\0") + b"0000644\0" * 3 + size + b"00000000000\0" + b" " * 8 + kind)
    block = block.ljust(512, b"\0")
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "data",
    [
        header(size=b"\xff" * 12),  # -1: a reader that goes backwards never ends
        header(size=b"\x80" + b"\xff" * 11),
        header(b"a\0b.zarr.zip"),
        header(b"../../x.zarr.zip"),
        header(b"/etc/x.zarr.zip"),
        header(size=b"00000000020\0", kind=b"x").ljust(1024, b"7") * 5000,
        (header(b"././@LongLink", b"00000000004\0", b"L") + b"abc\0".ljust(512, b"\0")) * 5000,
        header(kind=b"S"),
        b"".join(header(b"%d" % number) for number in range(100_000)),
    ],
    ids=["minus one", "huge", "NUL", "above", "absolute", "pax chain", "name chain", "sparse", "100,000 entries"],
)
@pytest.mark.timeout(60)
def test_hostile_tars_are_refused_or_hold_no_place_and_write_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.tar").write_bytes(data + bytes(1024))
    with suppress(DataError):
        assert [type(part).__name__ for part in open_shard(tmp_path / "s.tar").read()] == ["UnreadablePlace"]
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]
