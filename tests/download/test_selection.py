from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.download import select
from sarpipe.download.dataset import LAYOUTS, SPLITS
from sarpipe.errors import UsageError

VAL, TRAIN = (f"ssl4eos12_{split}_seasonal_data_000001.zarr.zip" for split in ("val", "train"))


def test_the_small_split_is_the_default() -> None:
    assert select().names == {"val": None}
    assert select(split="train").names == {"train": None}


def test_names_tell_their_split_and_come_once() -> None:
    assert select(stores=[TRAIN, VAL, TRAIN]).names == {"train": (TRAIN,), "val": (VAL,)}


def test_names_that_tell_no_split_take_the_one_given() -> None:
    tar = "ssl4eos12_shard_000001.tar"
    assert select("webdataset", stores=[tar]).names == {"val": (tar,)}
    assert select("webdataset", "train", [tar]).names == {"train": (tar,)}


def test_a_split_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"\n{TRAIN}\n  {VAL}  \n\n")
    assert select(stores=[str(path)]).names == {"train": (TRAIN,), "val": (VAL,)}


@pytest.mark.parametrize(
    ("stores", "split", "said"),
    [
        (["../../etc/passwd"], None, "is not a file name of the layout zarr"),
        (["/etc/passwd"], None, "is not a file name"),
        ([f"val/S1GRD/{VAL}"], None, "is not a file name"),
        ([VAL + "\n"], None, "is not a file name"),
        (["ssl4eos12_shard_000001.tar"], None, "is not a file name of the layout zarr"),
        ([VAL], "train", "is not of the split train"),
        (["none.txt"], None, "cannot be read: No such file"),
    ],
)
def test_other_names_are_refused(stores: list[str], split: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        select("zarr", split, stores)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_lists_without_names_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"list\.txt"):
        select(stores=[str(path)])


@given(st.text(), st.sampled_from(SPLITS), st.sampled_from(sorted(LAYOUTS)))
def test_no_path_leaves_its_folder(text: str, split: str, layout: str) -> None:
    for path in (text, f"{split}/S1GRD/{text}", f"{split}/S1GRD/{text}/{VAL}", f"../{split}/S1GRD/{VAL}"):
        if LAYOUTS[layout].holds(split, path):
            assert Path("/root", path).resolve().parent == Path("/root", split, "S1GRD")
