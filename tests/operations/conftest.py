from collections.abc import Iterator
from pathlib import Path

import pytest
from own_flows import flows_on
from real_server import PrefectServer

from sarpipe.simulate import simulate


@pytest.fixture(scope="module")
def own_flows(server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Flows of this process run on the hosted server."""
    with flows_on(server.url, tmp_path_factory.mktemp("results")):
        yield


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three stores, the second cut short."""
    folder = tmp_path_factory.mktemp("stores")
    simulate(folder, stores=3, places=2, seed=7)
    (broken,) = folder.glob("*_000002.zarr.zip")
    broken.write_bytes(broken.read_bytes()[:-5000])
    return folder
