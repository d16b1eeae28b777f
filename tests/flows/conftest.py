from collections.abc import Iterator
from pathlib import Path

import pytest
from own_flows import flows_on
from real_server import PrefectServer


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Prefect keeps the results of the tests' runs."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def prefect_server(server: PrefectServer, results: Path) -> Iterator[None]:
    """Flows of this process run on a real Prefect server."""
    with flows_on(server.url, results):
        yield
