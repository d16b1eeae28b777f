from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Prefect keeps the results of the tests' runs."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def prefect_server(results: Path) -> Iterator[None]:
    """A real Prefect server with a database of its own."""
    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_LOCAL_STORAGE_PATH: results}),
    ):
        yield
