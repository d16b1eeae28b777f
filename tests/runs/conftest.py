from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sarpipe.settings import resolve
from sarpipe.stages import straight


@pytest.fixture(scope="session")
def twice(small_stores: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of two runs of preprocess: two units are computed; they are reused, and a third store is refused."""
    folder = tmp_path_factory.mktemp("twice")
    shutil.copytree(small_stores, folder / "stores")
    first = sorted(small_stores.glob("*.zarr.zip"))[0]
    (folder / "stores" / first.name.replace("000001", "000003")).write_bytes(first.read_bytes()[:-5000])
    settings = resolve(data=folder / "data", dask=scheduler)
    for stores in (small_stores, folder / "stores"):
        straight.preprocess(settings, str(stores), lambda *_: None)
    return folder / "data"
