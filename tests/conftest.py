"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tarfile
import tempfile
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# One thread each, in all processes that the tests start too: as many files are tested at once as there are cores, and
# with other threads come other bits. A fixture that says so would come too late for what was made before it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr.storage
from dask_by_hand import ByHand
from distributed import LocalCluster
from made_once import made_once
from numpy.typing import NDArray
from prefect_tables import PrefectTables, make_tables
from real_browser import Browser
from real_server import PrefectServer

from sarpipe.simulate import simulate
from sarpipe.simulate.place import SimulatedPlace, simulate_place

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real Sentinel-1 data; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("SARPIPE_REAL_DATA", ROOT.parent / "shared" / "data" / "sentinel1"))
    if not path.is_dir():
        pytest.skip("no real data: set SARPIPE_REAL_DATA to its folder")
    return path.resolve()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are kept while they are read."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small disk of its own, mounted anew with the options that are given."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        if os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("only root can mount a small disk")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True).returncode:
            pytest.skip("no small disk can be mounted here")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def small_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two simulated stores of five places each. Read only: a test that breaks one copies it first."""
    return made_once(tmp_path_factory, "small", lambda folder: simulate(folder, stores=2, places=5, seed=3))


@pytest.fixture(scope="session")
def of_dates() -> Callable[[Path, Path, list[int]], Path]:
    """Write a copy of a zipped store, unpacked, with these of its dates, in this order."""

    def write(store: Path, path: Path, dates: list[int]) -> Path:
        with zarr.storage.ZipStore(store, mode="r") as bundle, xr.open_zarr(bundle) as data:
            chosen = data.isel(time=dates).load()
        for variable in chosen.variables.values():
            variable.encoding = {}
        chosen.to_zarr(path, zarr_format=2, encoding={"bands": {"chunks": (len(chosen.sample), 1, 2, 264, 264)}})
        return path

    return write


@pytest.fixture(scope="session")
def simulated_places() -> list[SimulatedPlace]:
    """Five places, as they would be in a store."""
    return [simulate_place(3, 1, place) for place in range(5)]


@pytest.fixture(scope="session")
def write_place() -> Callable[..., bytes]:
    """The zip of a single place: of a WebDataset tar, or with ``neuco`` of NeuCo-Bench.

    ``changes`` replaces variables by name, each as dimensions and values; None leaves one out.
    """

    def write(place: SimulatedPlace, *, neuco: bool = False, **changes: tuple[list[str], Any] | None) -> bytes:
        axes = ["time", "band", "y", "x"]
        variables: dict[str, tuple[list[str], Any] | None] = {
            "band": (["band"], np.array(["vv", "vh"])),
            "bands": (["sample", *axes], place.db[None]) if neuco else (axes, place.db),
        }
        if not neuco:
            location = place.location
            variables |= {
                "center_lat": ([], np.float64(location.latitude)),
                "center_lon": ([], np.float64(location.longitude)),
                "crs": ([], np.int64(location.crs)),
                "file_id": (["time"], np.array(place.file_ids)),
                "sample": ([], np.array(place.id)),
                "spatial_ref": ([], np.int64(0)),
                "time": (["time"], np.asarray(place.times, "datetime64[ns]").astype(np.int64)),
                "x": (["x"], np.asarray(location.x)),
                "y": (["y"], np.asarray(location.y)),
            }
        written: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": {}}
        chunks: dict[str, bytes] = {}
        for name, variable in (variables | changes).items():
            if variable is not None:
                _write_variable(written, chunks, name, variable[0], np.asarray(variable[1]))
        written[".zmetadata"] = {"metadata": dict(written), "zarr_consolidated_format": 1}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
            for name, document in written.items():
                bundle.writestr(zipfile.ZipInfo(name), json.dumps(document))
            for name, data in chunks.items():
                bundle.writestr(zipfile.ZipInfo(name), data)
        return buffer.getvalue()

    return write


def _write_variable(
    documents: dict[str, Any], chunks: dict[str, bytes], name: str, dimensions: Sequence[str], values: NDArray[Any]
) -> None:
    codec = {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1, "blocksize": 0}
    # A date is a chunk.
    shape = [
        1 if axis == "time" and name == "bands" else size for axis, size in zip(dimensions, values.shape, strict=True)
    ]
    documents[f"{name}/.zattrs"] = {"_ARRAY_DIMENSIONS": list(dimensions)}
    documents[f"{name}/.zarray"] = {
        "zarr_format": 2,
        "shape": values.shape,
        "chunks": shape,
        "dtype": values.dtype.str,
        "order": "C",
        "compressor": codec,
        "filters": None,
        "fill_value": None,
    }
    encode = numcodecs.get_codec(codec).encode
    grid = [size // chunk for size, chunk in zip(values.shape, shape, strict=True)]
    for position in np.ndindex(*grid):
        region = tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(position, shape, strict=True))
        key = ".".join(map(str, position)) or "0"
        chunks[f"{name}/{key}"] = bytes(encode(np.ascontiguousarray(values[region])))


@pytest.fixture(scope="session")
def write_tar() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """Write files as WebDataset does: with a time of change that is no whole number, in an extended header."""

    def write(path: Path, files: Mapping[str, bytes]) -> Path:
        with tarfile.open(path, "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(data), 1739871234.567
                tar.addfile(info, io.BytesIO(data))
        return path

    return write


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a real Dask scheduler with one worker process, for tests that need not start their own."""
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


class Flaky:
    """A server on the loopback that passes requests on to another one, notes them, and fails as it is told."""

    def __init__(self, target: str) -> None:
        self.requests: list[tuple[str, str]] = []
        self._failures: list[str] = []
        self._of = re.compile("")
        self._target = target
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, *failures: str, of: str = "") -> None:
        """Fail the next requests ("METHOD path?query") that match: ``503``, ``404``, ``reset``, ``cut`` (half of the
        body), ``pass`` (does not); and forget what was noted.
        """
        with self._lock:
            self._failures, self._of, self.requests = list(failures), re.compile(of), []

    def count(self, of: str) -> int:
        return sum(bool(re.search(of, f"{method} {path}")) for method, path in self.requests)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _next(self, method: str, path: str) -> str:
        with self._lock:
            self.requests.append((method, path))
            return self._failures.pop(0) if self._failures and self._of.search(f"{method} {path}") else "pass"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        flaky = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                how = flaky._next(self.command, self.path)
                if how == "reset":
                    # Closed with a reset and not in peace.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                elif how.isdecimal():
                    self.send_response(int(how))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self._pass_on(body, cut=how == "cut")

            def _pass_on(self, body: bytes, *, cut: bool) -> None:
                upstream = http.client.HTTPConnection(flaky._target, timeout=30)
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                data = answer.read()
                upstream.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                if length is not None:
                    self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[: len(data) // 2] if cut else data)
                    self.close_connection = cut

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _answer

        return Handler


@pytest.fixture
def flaky() -> Iterator[Callable[[str], Flaky]]:
    """Start servers that fail as they are told before those at an address."""
    started: list[Flaky] = []

    def start(target: str) -> Flaky:
        started.append(Flaky(target))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Flaky]:
    """A real S3 server on the loopback (moto), behind one that fails as it is told."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    flaky = Flaky(f"{host}:{port}")
    yield flaky
    flaky.stop()
    server.stop()


@pytest.fixture
def s3(s3_server: Flaky, monkeypatch: pytest.MonkeyPatch) -> Flaky:
    """The S3 server, with credentials for it in the environment and short waits between attempts."""
    for name, value in s3_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sarpipe.storage.remote.FIRST_WAIT_SECONDS", 0.001)
    s3_server.fail()
    return s3_server


def s3_environment(server: Flaky) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://{server.address}",
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }


@pytest.fixture
def bucket(s3: Flaky) -> str:
    """The URL of a new bucket."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    connection = http.client.HTTPConnection(s3.address)
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()
    s3.fail()
    return f"s3://{name}"


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    """The URL of a plain web server for ``tmp_path``: it does not know ranges."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ByHand]]:
    """Starts Dask clusters as a person would: a scheduler and workers, each a process of its own, on the loopback."""
    clusters: list[ByHand] = []

    def start(environment: Mapping[str, str] | None = None) -> ByHand:
        clusters.append(ByHand(tmp_path_factory.mktemp("by_hand"), environment))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.end()


@pytest.fixture(scope="session")
def flipped() -> Callable[[Path], Iterator[None]]:
    """Flips a bit at each of 150 places of a file in turn, and puts the file right again at the end."""

    def flip(path: Path) -> Iterator[None]:
        whole = path.read_bytes()
        for at in np.random.default_rng(0).integers(4, len(whole) - 8, 150):
            broken = bytearray(whole)
            broken[at] ^= 0x10
            path.write_bytes(broken)
            yield
        path.write_bytes(whole)

    return flip


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A real browser; tests that need one are skipped where it is absent."""
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    started = Browser(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def prefect_tables(tmp_path_factory: pytest.TempPathFactory) -> PrefectTables:
    """A database for servers to start with."""
    return PrefectTables(made_once(tmp_path_factory, "prefect-tables", make_tables))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, prefect_tables: PrefectTables) -> Iterator[PrefectServer]:
    """A hosted Prefect server in a process of its own."""
    folder = tmp_path_factory.mktemp("server")
    prefect_tables.copy_to(folder / "prefect")
    started = PrefectServer(folder)
    yield started
    from own_flows import send_what_is_left

    send_what_is_left()
    started.end()
