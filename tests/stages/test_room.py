import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sarpipe.errors import StorageError
from sarpipe.settings import resolve
from sarpipe.simulate import simulate
from sarpipe.stages.preprocess import make_store, plan_preprocess
from sarpipe.stages.room import PLACE_BYTES, check_room


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have so many bytes free on every disk."""

    def of(count: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(count, 0, count))  # type: ignore[attr-defined]

    return of


def test_places_that_are_to_come_are_counted_and_what_is_there_or_refused_is_not(
    tmp_path: Path, free: Callable[[int], None]
) -> None:
    simulate(tmp_path / "stores", stores=2, places=3, seed=1)
    (tmp_path / "stores" / "broken.zarr.zip").write_bytes(b"PK")
    settings = resolve(data=tmp_path / "data")
    steps = plan_preprocess(settings, tmp_path / "stores")
    assert sorted(step.places for step in steps) == [0, 3, 3]
    free(6 * PLACE_BYTES)
    check_room(settings, steps)
    free(6 * PLACE_BYTES - 1)
    with pytest.raises(
        StorageError, match=r"cubes of 6 places need about 1\.9 MiB, and .* has 1\.9 MiB free"
    ) as caught:
        check_room(settings, steps)
    assert "--data" in caught.value.hint

    made = next(step for step in steps if step.places)
    make_store(made, settings)
    steps = plan_preprocess(settings, tmp_path / "stores")
    check_room(settings, steps)
    # The estimate is that of the files: their tables and headers are beside it.
    assert made.folder is not None
    written = sum(path.stat().st_size for path in made.folder.iterdir() if path.suffix == ".npy")
    assert 0 <= written - 3 * PLACE_BYTES < 1000
