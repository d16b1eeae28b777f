from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sarpipe.errors import UsageError
from sarpipe.ssl4eo import find_stores, is_store_name, store_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four stores, one of them unpacked and one without a suffix, and other things."""
    stores = tmp_path / "train" / "S1GRD"
    (stores / "b.zarr").mkdir(parents=True)
    (stores / "d").mkdir()
    (stores / "d" / ".zgroup").touch()
    for name in ("a.zarr.zip", "c.zarr.zip", "notes.txt", "other.zip", ".hidden.zarr.zip"):
        (stores / name).touch()
    (stores / "e").mkdir()
    return stores


def names(stores: list[Path]) -> list[str]:
    assert all(store.is_absolute() for store in stores)
    return [store.name for store in stores]


def test_a_folder_gives_its_stores_in_the_order_of_their_names(folder: Path) -> None:
    assert names(find_stores(folder)) == ["a.zarr.zip", "b.zarr", "c.zarr.zip", "d"]


@pytest.mark.parametrize("name", ["a.zarr.zip", "b.zarr", "d"])
def test_one_store(folder: Path, name: str) -> None:
    assert names(find_stores(folder / name)) == [name]
    assert names(find_stores(str(folder / name))) == [name]


@pytest.mark.parametrize(
    ("pattern", "found"), [("S1GRD/[ac]*", ["a.zarr.zip", "c.zarr.zip"]), ("**/*.zarr", ["b.zarr"])]
)
def test_a_glob(folder: Path, pattern: str, found: list[str]) -> None:
    assert names(find_stores(folder.parent / pattern)) == found


def test_a_folder_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    (tmp_path / "run[1]").mkdir()
    (tmp_path / "run[1]" / "a.zarr.zip").touch()

    assert names(find_stores(tmp_path / "run[1]")) == ["a.zarr.zip"]


def test_a_relative_path_gives_absolute_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)

    assert names(find_stores("S1GRD/a.zarr.zip")) == ["a.zarr.zip"]


def test_a_split_list_beside_its_stores_or_in_the_layout_of_the_data_set(folder: Path) -> None:
    text = "c.zarr.zip\n\n  a.zarr.zip\r\nc.zarr.zip\n"
    splits = folder.parent.parent / "splits"
    splits.mkdir()
    for path in (folder / "list.txt", splits / "ssl4eos12_train.txt"):
        path.write_text(text)
        assert names(find_stores(path)) == ["a.zarr.zip", "c.zarr.zip"]


def test_a_split_list_finds_the_validation_part(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    (tmp_path / "val" / "S1GRD").mkdir(parents=True)
    (tmp_path / "val" / "S1GRD" / "ssl4eos12_val_seasonal_data_000001.zarr.zip").touch()
    (tmp_path / "splits" / "some.txt").write_text("ssl4eos12_val_seasonal_data_000001.zarr.zip")

    assert len(find_stores(tmp_path / "splits" / "some.txt")) == 1


def _empty(folder: Path) -> Path:
    return folder / "e"


def _split(text: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "list.txt").write_bytes(text)
        return folder / "list.txt"

    return make


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (_empty, "holds no store"),
        (lambda folder: folder / "nowhere", "does not exist"),
        (lambda folder: folder / "x.zarr.zip", "does not exist"),
        (lambda folder: folder / "x*.zarr", "no store matches"),
        (lambda folder: folder / "other.zip", "neither a store nor a folder"),
        (lambda folder: "~nobody-of-that-name/data", "does not exist"),
        (_split(b"\n \n"), "lists no store"),
        (_split(b"a.zarr.zip\nz.zarr.zip"), "lists z.zarr.zip"),
        (_split(b"\xff\xfe\x00"), "not a text file"),
    ],
)
def test_where_there_is_no_store_it_is_said_with_the_path(
    folder: Path, source: Callable[[Path], Path | str], said: str
) -> None:
    asked = source(folder)
    with pytest.raises(UsageError, match=said) as caught:
        find_stores(asked)

    assert str(asked) in caught.value.message
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_folder_above_the_stores_gets_a_hint(folder: Path) -> None:
    for above in (folder.parent, folder.parent.parent):
        with pytest.raises(UsageError) as caught:
            find_stores(above)
        assert str(folder) in caught.value.hint


def test_two_stores_of_one_name_are_refused(folder: Path) -> None:
    (folder / "b.zarr.zip").touch()

    with pytest.raises(UsageError, match="have one name") as caught:
        find_stores(folder)
    assert "b.zarr.zip" in caught.value.message


def test_one_store_by_two_ways_is_one(folder: Path) -> None:
    (folder / "b2").symlink_to(folder / "b.zarr")
    (folder / "list.txt").write_text("b.zarr\n../S1GRD/b.zarr\nb2\n")

    assert names(find_stores(folder / "list.txt")) == ["b.zarr"]


def test_a_store_may_not_have_the_name_of_the_set_of_all() -> None:
    assert [is_store_name(name) for name in ("set", "set-1", "reset", "Set")] == [False, True, True, True]


def test_store_name_drops_the_suffix() -> None:
    assert [store_name(Path(name)) for name in ("x/a.zarr.zip", "a.zarr", "a")] == ["a", "a", "a"]
