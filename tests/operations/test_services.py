"""The service files: what they name is there, and what they start runs."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
import yaml
from distributed import Client
from documents import ROOT
from prefect.settings import Settings
from prefect.settings.legacy import _get_valid_setting_names
from services import COMPOSE, PROGRAMS, SERVICES, Service, Unit, settings

from sarpipe import __version__
from sarpipe.cluster import compute, dask_session
from sarpipe.flows.cli import _parser

# Importing it takes the handler of Ctrl-C away from the process.
handler = signal.getsignal(signal.SIGINT)
SLURMJob = importlib.import_module("dask_jobqueue.slurm").SLURMJob
signal.signal(signal.SIGINT, handler)

UNITS = sorted(path.name for path in (SERVICES / "systemd").glob("*.service"))
CLUSTER = SERVICES.parent / "cluster"


def understood(command: list[str]) -> None:
    """See that a program takes these words, without running it."""
    program, *words = command
    if Path(program).name == "dask":
        part = importlib.import_module(f"distributed.cli.dask_{words[0]}")
        part.main.make_context(words[0], words[1:])
    elif Path(program).name == "sarpipe":
        _parser().parse_args(words)
    else:
        # The others are started by the tests of a hosted server.
        assert Path(program).name == "prefect"
        assert words[:2] in (["server", "start"], ["worker", "start"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they are, but with the programs of this environment: systemd looks whether they are there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd")
    folder = tmp_path_factory.mktemp("units")
    for path in (SERVICES / "systemd").iterdir():
        (folder / path.name).write_text(path.read_text().replace(PROGRAMS, f"{Path(sys.executable).parent}/"))
    return folder


def test_systemd_understands_every_line(installed: Path) -> None:
    units = sorted(map(str, installed.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    # It also says what other units of this machine have wrong.
    said = [line for line in done.stderr.splitlines() if "sarpipe" in line or str(installed) in line]
    assert not said
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_services_are_not_exposed(installed: Path, name: str) -> None:
    """By systemd's own measure, of which 10 is a service that may do anything."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(installed / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_what_a_unit_names_is_shipped(name: str, tmp_path: Path) -> None:
    unit = Unit(name)
    files = unit.all("EnvironmentFile")
    for file in files:
        if file != "/etc/sarpipe/secret.env":
            assert (SERVICES / Path(file).name).is_file(), file
    (tmp_path / "secret.env").write_text("")
    for path in SERVICES.glob("*.env"):
        shutil.copy(path, tmp_path)
    command = unit.command(unit.environment(tmp_path, tmp_path))
    assert Path(command[0]).is_file()
    understood(command)
    timers = {path.stem for path in (SERVICES / "systemd").glob("*.timer")}
    assert unit.all("WantedBy") or Path(name).stem in timers


def test_every_setting_of_prefect_has_a_name_that_prefect_knows() -> None:
    known = _get_valid_setting_names(Settings)
    named = {name for path in SERVICES.glob("*.env") for name in settings(path)}
    named |= set(re.findall(r"^#(\w+)=", "\n".join(path.read_text() for path in SERVICES.glob("*.env")), flags=re.M))
    for service in COMPOSE["services"].values():
        named |= set(service.get("environment", {}))
        named |= set(re.findall(r"export (\w+)=", " ".join(service.get("command", []))))
    prefects = {name for name in named if name.startswith("PREFECT_")}
    assert len(prefects) > 10
    assert prefects <= known


def test_the_worker_takes_the_pool_of_the_deployments() -> None:
    pools = set(re.findall(r"^ *name: (\w+)$", (ROOT / "prefect.yaml").read_text(), flags=re.M))
    commands = [Unit("sarpipe-worker.service").all("ExecStart")[0], *COMPOSE["services"]["worker"]["command"]]
    named = [match[1] for command in commands if (match := re.search(r"--pool (\w+)", command))]
    assert len(named) == 2
    assert set(named) <= pools


@pytest.fixture
def dask_services(tmp_path: Path) -> Iterator[str]:
    """The address of the scheduler's service, with the workers' service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = {"8786": str(free.getsockname()[1]), "8787": "0"}
    address = f"tcp://127.0.0.1:{ports['8786']}"
    shutil.copy(SERVICES / "dask.env", tmp_path)
    changes = {"SARPIPE_SCHEDULER": address}
    started = [
        Service(f"sarpipe-dask-{what}.service", tmp_path, tmp_path / what, changes, ports)
        for what in ("scheduler", "worker")
    ]
    yield address
    for service in started[::-1]:
        service.end()


def test_the_services_of_dask_compute(dask_services: str) -> None:
    with Client(dask_services, set_as_default=False, timeout=60) as client:
        client.wait_for_workers(1, timeout=60)
        assert set(client.nthreads().values()) == {1}
    with dask_session(1, address=dask_services):
        assert compute(pow, 2, 3, timeout=60) == 8


def test_compose_defines_what_it_uses_and_uses_what_it_defines() -> None:
    services = COMPOSE["services"]
    for kind in ("secrets", "networks", "volumes"):
        named = {item for service in services.values() for item in service.get(kind, []) if isinstance(item, str)}
        assert {item.partition(":")[0] for item in named} == set(COMPOSE[kind]), kind
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or services[other]["healthcheck"]["test"]
        for file in service.get("env_file", []):
            assert (SERVICES / file).is_file()
        for part in ("build" in service and [service["build"]]) or []:
            assert (SERVICES / part["context"]).resolve() == ROOT
            assert (ROOT / part["dockerfile"]).is_file()


def test_compose_is_open_to_this_machine_alone_and_its_images_are_pinned() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4200:4200"]
    for service in COMPOSE["services"].values():
        assert re.search(r":\d+\.\d+", service["image"]), service["image"]
        for name, value in service.get("environment", {}).items():
            assert not name.endswith(("PASSWORD", "AUTH_STRING")), value


def test_the_image_is_built_of_files_that_are_there() -> None:
    ignored = (SERVICES / "Dockerfile.dockerignore").read_text().splitlines()
    taken = [line[1:] for line in ignored if line.startswith("!")]
    assert all((ROOT / name).exists() for name in taken)
    text = (ROOT / "pyproject.toml").read_text()
    assert all(name in taken for name in re.findall(r'^(?:readme|license-files) = \W*"?([\w.]+)', text, flags=re.M))
    assert COMPOSE["services"]["worker"]["image"] == f"sarpipe:{__version__}"


def test_kubernetes_names_what_it_has() -> None:
    cluster, autoscaler, _ = yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text())
    assert autoscaler["spec"]["cluster"] == cluster["metadata"]["name"]
    for part in ("worker", "scheduler"):
        spec = cluster["spec"][part]["spec"]
        (container,) = spec["containers"]
        understood([word.replace("$(DASK_WORKER_NAME)", "name") for word in container["args"]])
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    (name,) = [entry["name"] for entry in container["env"]]
    assert dask.config.get(name.removeprefix("DASK_").lower().replace("__", ".")) == "5s"
    service = cluster["spec"]["scheduler"]["service"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == ports
    assert {container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} <= ports


def test_jobs_of_slurm_start_a_worker_process_a_core() -> None:
    document = yaml.safe_load((CLUSTER / "slurm.yaml").read_text())
    # As where DASK_CONFIG names the file: over the defaults.
    with dask.config.set(dask.config.merge(dask.config.config, document)):
        job = SLURMJob("tcp://10.0.0.5:8786", name="job")
        script = job.job_script()
    asked = document["jobqueue"]["slurm"]
    assert f"#SBATCH --cpus-per-task={asked['cores']}" in script
    assert f"#SBATCH -p {asked['queue']}" in script
    command = shlex.split(script.strip().splitlines()[-1])
    assert command[:3] == [asked["python"], "-m", "distributed.cli.dask_worker"]
    understood(["dask", "worker", *command[3:]])
    words = " ".join(command)
    assert f"--nthreads 1 --memory-limit 4.00GiB --nworkers {asked['cores']}" in words
    assert "OMP_NUM_THREADS=1" in script
