"""A Prefect server as an operator hosts it: with its service file, a secret, and PostgreSQL."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, shell
from own_flows import flows_on
from postgres import PASSWORD, Postgres
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect_tables import PrefectTables
from services import COMPOSE, PROGRAMS, SERVICES, Service, settings

from sarpipe.errors import SarpipeError, UsageError
from sarpipe.flows.automations import install
from sarpipe.flows.supervised import run_flow
from sarpipe.tasks.train import LEASE_SECONDS


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def new_etc(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a folder that stands for /etc/sarpipe, as the documents say it, of a server on a free port."""

    def make(database: str) -> Path:
        etc = tmp_path_factory.mktemp("etc")
        commands = shell("operations.md", "SERVER_ $secret").replace("/etc/sarpipe", str(etc))
        subprocess.run(["sh", "-ec", commands], check=True, cwd=ROOT)
        port = free_port()
        for name in ("server.env", "worker.env"):
            text = (etc / name).read_text().replace("4200", str(port))
            (etc / name).write_text(
                re.sub("^#(PREFECT_SERVER_DATABASE)", r"\1", text, flags=re.M) if database else text
            )
        if database:
            text = (etc / "server.env").read_text()
            assert "/run/postgresql" in text
            (etc / "server.env").write_text(text.replace("/run/postgresql", database))
        return etc

    return make


class Hosted:
    """A server that runs as its service, and how to speak to it.

    Args:
        etc: Stands for ``/etc/sarpipe``.
        folder: For its state.
        changes: To the environment of the server.
    """

    def __init__(self, etc: Path, folder: Path, changes: Mapping[str, str] | None = None) -> None:
        self.etc = etc
        self.user = settings(etc / "worker.env") | settings(etc / "secret.env")
        self.url = self.user["PREFECT_API_URL"]
        self.secret = self.user["PREFECT_API_AUTH_STRING"]
        self.service = Service("sarpipe-server.service", etc, folder, changes)
        try:
            self.wait()
        except BaseException:
            self.service.end()
            raise

    def wait(self) -> None:
        # Migrations take some 15 s of a core, on a machine that may do much else.
        deadline = time.monotonic() + 280
        while self.status("health", None) != 200:
            assert time.monotonic() < deadline, self.service.said()
            assert self.service.process.poll() is None, self.service.said()
            time.sleep(0.1)

    def status(self, path: str, secret: str | None, document: Any = None) -> int:
        try:
            with self._open(path, secret, document) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def allowed(self, origin: str) -> str | None:
        """What a browser is told of requests that a page of this origin makes."""
        with self._open("health", None, headers={"Origin": origin}) as answer:
            said: str | None = answer.headers["access-control-allow-origin"]
        return said

    def _open(
        self, path: str, secret: str | None, document: Any = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        request = urllib.request.Request(f"{self.url}/{path}", headers={**(headers or {})})
        if secret is not None:
            request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
        if document is not None:
            request.data = json.dumps(document).encode()
            request.add_header("Content-Type", "application/json")
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=60)
        return answer

    def environment(self) -> dict[str, str]:
        """Of a process that uses it."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        return {**inherited, **self.user, "PREFECT_HOME": str(self.etc / "user")}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", *words], env=self.environment(), capture_output=True, text=True)

    def runs(self) -> dict[str, str]:
        """States of the flow runs by id."""
        return {run["id"]: run["state_type"] for run in self.ask("flow_runs/filter")}

    def ask(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.post(path, {}))
        return found

    def post(self, path: str, document: Any) -> bytes:
        with self._open(path, self.secret, document) as answer:
            return answer.read()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server; tests that need one are skipped where it is absent."""
    started = Postgres()
    yield started
    started.end()


@pytest.fixture(scope="module")
def hosted(
    new_etc: Callable[[str], Path], prefect_tables: PrefectTables, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosted]:
    """A server on SQLite."""
    state = tmp_path_factory.mktemp("state")
    prefect_tables.copy_to(state / "server")
    started = Hosted(new_etc(""), state)
    yield started
    started.service.end()


@pytest.fixture(scope="module")
def on_postgres(
    new_etc: Callable[[str], Path], postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosted]:
    """A server on PostgreSQL."""
    started = Hosted(new_etc(str(postgres.folder)), tmp_path_factory.mktemp("state"))
    yield started
    started.service.end()


def supervised(hosted: Hosted, stores: Path, data: Path) -> list[bool]:
    """Which units a run of this process that the server supervises has computed."""
    parameters = {"source": str(stores), "data": str(data), "workers": 1}
    with flows_on(hosted.url, hosted.etc / "results", hosted.secret):
        results, seen_at = run_flow("preprocess", parameters)
    assert hosted.url.removesuffix("/api") in seen_at
    return [unit["computed"] for unit in results["preprocess"]["units"]]


def ends(service: Service, seconds: float = 30) -> bool:
    """Whether a service ends within the seconds that systemd gives it, by what systemd takes for a success."""
    return service.stop(seconds) in (0, -signal.SIGTERM)


def test_who_does_not_bring_the_secret_is_refused(hosted: Hosted) -> None:
    assert hosted.status("admin/version", None) == 401
    assert hosted.status("admin/version", "sarpipe:guessed") == 401
    assert hosted.status("admin/version", hosted.secret) == 200
    assert hosted.status("flow_runs/filter", None, {}) == 401
    assert hosted.allowed("http://page.example") is None
    own = hosted.url.removesuffix("/api")
    assert hosted.allowed(own) == own
    assert (hosted.etc / "secret.env").stat().st_mode & 0o777 == 0o600
    assert len(hosted.secret) == len("sarpipe:") + 48


@pytest.mark.parametrize("secret", [None, "sarpipe:guessed"])
def test_wrong_credentials_are_told_apart_from_a_server_that_is_away(
    hosted: Hosted, small_stores: Path, tmp_path: Path, secret: str | None
) -> None:
    parameters = {"source": str(small_stores), "data": str(tmp_path)}
    with temporary_settings({PREFECT_API_URL: hosted.url, PREFECT_API_AUTH_STRING: secret}):
        with pytest.raises(UsageError, match=r"credentials \(401\)") as caught:
            run_flow("preprocess", parameters)
        assert "PREFECT_API_AUTH_STRING" in caught.value.hint
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_API_AUTH_STRING: secret}),
        pytest.raises(SarpipeError, match="does not answer"),
    ):
        run_flow("preprocess", parameters)
    assert not any(tmp_path.iterdir())


def test_a_run_with_the_secret_is_supervised(hosted: Hosted, small_stores: Path, tmp_path: Path) -> None:
    words = ("preprocess", str(small_stores), "--data", str(tmp_path), "--workers", "1", "--json")
    done = hosted.command("sarpipe.flows.cli", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["units"]["computed"] == 2
    assert hosted.url.removesuffix("/api") in done.stderr
    assert list(hosted.runs().values()) == ["COMPLETED"]


def test_an_alarm_reaches_the_server_with_the_secret_that_it_has_by_now(hosted: Hosted) -> None:
    with temporary_settings({PREFECT_API_URL: hosted.url, PREFECT_API_AUTH_STRING: hosted.secret}):
        # As it was installed while the server had no secret.
        before = CustomWebhookNotificationBlock(name="sarpipe-alarm", url=f"{hosted.url}/artifacts/")
        before.save("sarpipe-alarm")
        assert len(install(ROOT / "data" / "configs" / "automations")) == 4
        block = CustomWebhookNotificationBlock.load("sarpipe-alarm", _sync=True)
        block.notify("what to do", subject="it failed", _sync=True)
    (alarm,) = (artifact for artifact in hosted.ask("artifacts/filter") if artifact["key"] == "sarpipe-alarm")
    assert alarm["description"] == "it failed"
    assert "what to do" in alarm["data"]


def test_who_holds_the_slot_of_a_training_outlives_the_server(hosted: Hosted) -> None:
    created = hosted.command("prefect", "gcl", "create", "gpu", "--limit", "1")
    assert created.returncode == 0, created.stderr
    taken = hosted.post(
        "v2/concurrency_limits/increment-with-lease",
        {"names": ["gpu"], "slots": 1, "mode": "concurrency", "lease_duration": 300},
    )
    lease = json.loads(taken)["lease_id"]
    os.killpg(hosted.service.process.pid, signal.SIGKILL)
    hosted.service.process.wait()
    hosted.service.start()
    hosted.wait()
    # Else Prefect ends the run whose slot it is, and the slot is nobody's and never free.
    hosted.post(f"v2/concurrency_limits/leases/{lease}/renew", {"lease_duration": 300})
    hosted.post("v2/concurrency_limits/decrement-with-lease", {"lease_id": lease})
    assert [limit["active_slots"] for limit in hosted.ask("v2/concurrency_limits/filter")] == [0]


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_the_slot_of_a_training_that_died_with_the_server_is_free_again(hosted: Hosted) -> None:
    hosted.command("prefect", "gcl", "create", "other", "--limit", "1")
    hosted.post(
        "v2/concurrency_limits/increment-with-lease",
        {"names": ["other"], "slots": 1, "mode": "concurrency", "lease_duration": LEASE_SECONDS},
    )
    os.killpg(hosted.service.process.pid, signal.SIGKILL)
    hosted.service.process.wait()
    hosted.service.start()
    hosted.wait()
    deadline = time.monotonic() + LEASE_SECONDS + 120
    while any(limit["active_slots"] for limit in hosted.ask("v2/concurrency_limits/filter")):
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_run_with_the_secret_lands_in_postgresql(
    on_postgres: Hosted, postgres: Postgres, small_stores: Path, tmp_path: Path
) -> None:
    words = ("preprocess", str(small_stores), "--data", str(tmp_path), "--workers", "1", "--json")
    done = on_postgres.command("sarpipe.flows.cli", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["units"]["computed"] == 2
    assert postgres.ask("SELECT state_type FROM flow_run") == ["COMPLETED"]
    # The stores, and the set of all places.
    assert postgres.ask("SELECT count(*), count(DISTINCT name) FROM task_run WHERE state_type = 'COMPLETED'") == ["3|3"]
    assert not list(Path(on_postgres.service.environment["PREFECT_HOME"]).glob("*.db"))


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_runs_in_postgresql_survive_a_restart_and_go_into_another_database(
    on_postgres: Hosted, postgres: Postgres, small_stores: Path, tmp_path: Path, new_etc: Callable[[str], Path]
) -> None:
    supervised(on_postgres, small_stores, tmp_path / "data")
    before = on_postgres.runs()
    assert "COMPLETED" in before.values()
    assert ends(on_postgres.service)
    on_postgres.service.start()
    on_postgres.wait()
    assert on_postgres.runs() == before
    assert supervised(on_postgres, small_stores, tmp_path / "data") == [False, False]
    # As the documents say it, but for the names and the socket.
    line = next(
        line for line in shell("operations.md", "runuser -u postgres -- pg_dump").splitlines() if "pg_dump" in line
    )
    line = line.replace("runuser -u postgres -- pg_dump ", f"pg_dump -h {postgres.folder} -U sarpipe ")
    subprocess.run(["sh", "-ec", line.replace("/var/backups", str(tmp_path))], check=True)
    (dump,) = tmp_path.glob("prefect-*.sql")
    postgres.create("restored")
    restore = next(
        line for line in shell("operations.md", "createdb --owner sarpipe restored").splitlines() if "psql" in line
    )
    restore = restore.replace("runuser -u sarpipe -- psql", f"psql -h {postgres.folder} -U sarpipe")
    restore = restore.replace("/var/backups/BACKUP.sql", str(dump))
    subprocess.run(["sh", "-ec", restore], check=True, stdout=subprocess.DEVNULL)
    url = f"postgresql+asyncpg://sarpipe@/restored?host={postgres.folder}"
    changes = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}
    other = Hosted(new_etc(str(postgres.folder)), tmp_path / "state", changes)
    try:
        assert other.runs() == on_postgres.runs()
    finally:
        other.service.end()


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_the_worker_and_the_deployments_bring_the_secret(hosted: Hosted, small_stores: Path, tmp_path: Path) -> None:
    folder = tmp_path / "srv"
    folder.mkdir()
    worker = Service("sarpipe-worker.service", hosted.etc, tmp_path / "state")
    try:
        deadline = time.monotonic() + 240
        while "started" not in worker.said():
            assert time.monotonic() < deadline, worker.said()
            assert worker.process.poll() is None, worker.said()
            time.sleep(0.2)
        environment = {**hosted.environment(), "SARPIPE_ROOT": str(folder)}
        prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
        subprocess.run([*prefect, "deploy", "--all"], check=True, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        parameters = [f"source={small_stores}", f"data={tmp_path / 'data'}", "workers=1"]
        command = [*prefect, "deployment", "run", "preprocess/preprocess", "--watch"]
        for parameter in parameters:
            command += ["--param", parameter]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr + worker.said()
        assert len(list((tmp_path / "data").glob("cubes/sar-*/ssl4eos12*/manifest.json"))) == 2
        started = time.monotonic()
        assert ends(worker, 60)
        print(f"the worker ended {time.monotonic() - started:.1f} s after SIGTERM")
    finally:
        worker.end()


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_sqlite_is_backed_up_migrated_and_rid_of_old_runs(
    new_etc: Callable[[str], Path], small_stores: Path, tmp_path: Path
) -> None:
    etc, state = new_etc(""), tmp_path / "state"
    hosted = Hosted(etc, state)
    try:
        supervised(hosted, small_stores, tmp_path / "data")
        before = hosted.runs()
        task_runs_are_known(hosted, 3)
        # Backed up while it runs, as the documents say it.
        line = next(
            line
            for line in shell("operations.md", "runuser -u postgres -- pg_dump").splitlines()
            if line.startswith("sqlite3")
        )
        line = line.replace("/var/lib/sarpipe", str(state)).replace("/var/backups", str(tmp_path))
        subprocess.run(["sh", "-ec", line], check=True)
        assert ends(hosted.service)
        (backup,) = tmp_path.glob("prefect-*.db")
        lines = shell("operations.md", "/var/backups/BACKUP.db").replace("/var/backups/BACKUP.db", str(backup))
        # Here all is one user's.
        lines = lines.replace("-o sarpipe -g sarpipe ", "").replace("/var/lib/sarpipe", str(state))
        subprocess.run(["sh", "-ec", lines], check=True)
        migrations_there_and_back(hosted)
        hosted.service.start()
        hosted.wait()
        assert hosted.runs() == before
        assert ends(hosted.service)
        with sqlite3.connect(state / "server" / "prefect.db") as database:
            counts = rows(database)
            assert (counts["flow_run"], counts["task_run"]) == (1, 3)
            assert counts["log"] > 0
            assert counts["artifact"] > 0
            database.execute("UPDATE flow_run SET end_time = datetime('now', '-91 days')")
        database.close()
        hosted.service.start()
        hosted.wait()
        supervised(hosted, small_stores, tmp_path / "data")
        deadline = time.monotonic() + 120
        # The first round comes with the start.
        while len(hosted.runs()) > 1:
            assert time.monotonic() < deadline
            time.sleep(1)
        assert not before.keys() & hosted.runs().keys()
    finally:
        hosted.service.end()


def task_runs_are_known(hosted: Hosted, number: int) -> None:
    """Wait until the server has made of its events that so many are completed: it takes its time over them."""
    deadline = time.monotonic() + 120
    while [run["state_type"] for run in hosted.ask("task_runs/filter")] != ["COMPLETED"] * number:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def migrations_there_and_back(hosted: Hosted) -> None:
    """One revision down, and up again by the command of the documents."""
    command = [sys.executable, "-m", "prefect", "server", "database"]
    down = [*command, "downgrade", "--yes", "-r", "-1"]
    subprocess.run(down, check=True, env=hosted.service.environment, stdout=subprocess.DEVNULL)
    lines = shell("operations.md", "database upgrade").replace("/etc/sarpipe", str(hosted.etc))
    home = Path(hosted.service.environment["PREFECT_HOME"])
    lines = lines.replace("/var/lib/sarpipe", str(home.parent)).replace("/srv/sarpipe", str(home))
    lines = lines.replace("runuser -u sarpipe -- ", "").replace(PROGRAMS, f"{Path(sys.executable).parent}/")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    subprocess.run(["sh", "-ec", lines], check=True, env=environment)


def rows(database: sqlite3.Connection) -> dict[str, int]:
    tables = ("flow_run", "task_run", "log", "artifact")
    return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_the_command_of_compose_starts_a_server_on_postgresql_with_a_password(tmp_path: Path) -> None:
    database, port = Postgres(free_port()), free_port()
    told = COMPOSE["services"]["server"]
    (tmp_path / "auth_string").write_text("sarpipe:known")
    (tmp_path / "database_password").write_text(PASSWORD)
    script = told["command"][2].replace("$$", "$").replace("/run/secrets", str(tmp_path))
    programs = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment = programs | settings(SERVICES / "server.env") | told["environment"]
    # Their names in the network of compose, and its ports.
    environment |= {"PREFECT_SERVER_DATABASE_HOST": "127.0.0.1", "PREFECT_SERVER_DATABASE_PORT": str(database.port)}
    environment |= {"PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(port)}
    check = [word.replace("4200", str(port)) for word in told["healthcheck"]["test"][1:]]
    with subprocess.Popen(["sh", "-ec", script], env=environment, cwd=tmp_path, start_new_session=True) as server:
        try:
            deadline = time.monotonic() + 600
            while subprocess.run(check, env=programs, stderr=subprocess.DEVNULL).returncode:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(1)
            assert database.ask("SELECT count(*) > 0 FROM alembic_version") == ["t"]
            request = urllib.request.Request(f"http://127.0.0.1:{port}/api/admin/version")
            request.add_header("Authorization", f"Basic {base64.b64encode(b'sarpipe:known').decode()}")
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 200
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
            database.end()
