import json
import threading
from pathlib import Path
from typing import Any

import pytest

from sarpipe.download import Retry, fetch, make_plan, select
from sarpipe.errors import DamagedError, DownloadError, StorageError, UsageError
from sarpipe.ssl4eo import find_stores

NAMES = [f"ssl4eos12_val_seasonal_data_{number:06d}.zarr.zip" for number in range(1, 10)]
QUICK = Retry(base_s=0.0, silence_s=5.0)


def test_what_is_there_and_right_is_kept(hub: Any, download: Any, tmp_path: Path) -> None:
    hub.add(*NAMES)
    assert len(download(first=2).fetched) == 2
    outcome = download()
    assert (len(outcome.kept), len(outcome.fetched)) == (2, 7)
    before = len(hub.links)
    again = download()
    assert (len(again.kept), len(again.fetched), again.received) == (9, 0, 0)
    assert len(hub.links) == before
    assert [path.name for path in find_stores(tmp_path / "val" / "S1GRD")] == NAMES


@pytest.mark.parametrize("change", ["a byte", "the length"])
def test_what_is_there_and_wrong_is_replaced_and_told(hub: Any, download: Any, tmp_path: Path, change: str) -> None:
    contents = hub.add(*NAMES[:3])
    download()
    path = tmp_path / "val" / "S1GRD" / NAMES[1]
    path.write_bytes(contents[1][:-1] + (b"" if change == "the length" else bytes([contents[1][-1] ^ 1])))
    outcome = download()
    assert [file.name for file in outcome.replaced] == [NAMES[1]]
    assert path.read_bytes() == contents[1]


def test_a_wrong_file_stands_until_the_right_one_is_there(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    hub.add(NAMES[0])
    path = tmp_path / "val" / "S1GRD" / NAMES[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    hub.faults[NAMES[0]] = [faults.status(503)] * 5
    with pytest.raises(DownloadError):
        download()
    assert path.read_bytes() == b"mine"


def test_a_file_that_cannot_be_had_is_named_and_the_others_come(
    hub: Any, faults: Any, download: Any, tmp_path: Path
) -> None:
    hub.add(*NAMES)
    hub.faults[NAMES[0]] = [faults.wrong] * 2
    hub.faults[NAMES[4]] = [faults.status(500)] * 5
    outcome = download()
    assert sorted(file.name for file, _ in outcome.failed) == [NAMES[0], NAMES[4]]
    assert len(outcome.fetched) == 7
    assert len(download().fetched) == 2


def test_a_file_that_went_from_the_hub_is_named(hub: Any, tmp_path: Path) -> None:
    hub.add(*NAMES[:2])
    plan = make_plan(tmp_path, select(), lambda *_: None, retry=QUICK)
    del hub.commits[hub.branch][f"val/S1GRD/{NAMES[0]}"]
    ((file, error),) = fetch(plan, lambda *_: None, retry=QUICK).failed
    assert (file.name, "(404)" in error.message) == (NAMES[0], True)


def test_a_server_that_is_down_is_given_up(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    hub.add(*NAMES)
    download(first=1)
    for name in NAMES:
        hub.faults[name] = [faults.status(503)] * 99
    before = len(hub.content)
    with pytest.raises(DownloadError, match="given up"):
        download(jobs=1)
    assert len(hub.content) - before == 4 * QUICK.attempts


def test_files_that_cannot_be_had_here_and_there_do_not_end_the_job(hub: Any, faults: Any, download: Any) -> None:
    hub.add(*NAMES, size=1000)
    for name in NAMES[::2]:
        hub.faults[name] = [faults.status(503)] * 99
    outcome = download(jobs=1)
    assert (len(outcome.failed), len(outcome.fetched)) == (5, 4)


def test_the_record_says_where_each_file_came_from(hub: Any, download: Any, tmp_path: Path) -> None:
    hub.add(*NAMES[:2])
    download(NAMES[0])
    old, hub.branch = hub.branch, "2" * 40
    hub.commits[hub.branch] = dict(hub.commits[old])
    download(NAMES[1])
    record = json.loads((tmp_path / "download.json").read_text())
    assert (record["licence"], "2503.00168" in record["citation"]) == ("CC-BY-4.0", True)
    commits = {path: entry["commit"] for path, entry in record["files"].items()}
    assert commits == {f"val/S1GRD/{NAMES[0]}": old, f"val/S1GRD/{NAMES[1]}": hub.branch}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"files": []}', b"\xff"])
def test_a_record_that_is_none_is_not_written_over(hub: Any, download: Any, tmp_path: Path, content: bytes) -> None:
    hub.add(NAMES[0])
    (tmp_path / "download.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"download\.json is damaged"):
        download()
    assert hub.content == []


def test_too_little_space_is_told_before_anything_is_fetched(hub: Any, download: Any, tmp_path: Path) -> None:
    hub.add(*NAMES)
    hub.sizes[f"val/S1GRD/{NAMES[0]}"] = 10**18
    with pytest.raises(StorageError, match="free"):
        download()
    assert hub.content == []


def test_a_folder_that_cannot_be_written_to(hub: Any, download: Any, tmp_path: Path) -> None:
    hub.add(NAMES[0])
    (tmp_path / "val").write_text("a file")
    with pytest.raises(StorageError, match="cannot write"):
        download()


def test_a_folder_where_a_file_belongs(hub: Any, download: Any, tmp_path: Path) -> None:
    hub.add(NAMES[0])
    (tmp_path / "val" / "S1GRD" / NAMES[0]).mkdir(parents=True)
    with pytest.raises(UsageError, match="is a folder"):
        download()


def test_the_two_layouts_do_not_go_into_one_folder(hub: Any, download: Any, tmp_path: Path) -> None:
    hub.add(NAMES[0])
    download()
    hub.repository, tar = "embed2scale/SSL4EO-S12-v1.1", "ssl4eos12_shard_000001.tar"
    hub.add(tar)
    hub.add(tar, split="train")
    with pytest.raises(UsageError, match="holds the layout zarr"):
        download(layout="webdataset")
    download(layout="webdataset", split="train")
    assert (tmp_path / "train" / "S1GRD" / tar).is_file()


def test_two_downloads_at_once_fetch_once(hub: Any, tmp_path: Path) -> None:
    contents = hub.add(*NAMES)
    plans = [make_plan(tmp_path, select(), lambda *_: None) for _ in range(2)]
    outcomes: list[Any] = []
    threads = [
        threading.Thread(target=lambda plan=plan: outcomes.append(fetch(plan, lambda *_: None))) for plan in plans
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((len(outcome.kept), len(outcome.fetched)) for outcome in outcomes) == [(0, 9), (9, 0)]
    assert sum(asked.sent for asked in hub.content) == sum(map(len, contents))


def test_progress_tells_files_and_bytes(hub: Any, tmp_path: Path) -> None:
    hub.add(*NAMES[:3], size=1_000_000)
    told: list[tuple[str, int, int, str]] = []
    fetch(make_plan(tmp_path, select(), lambda *_: None), lambda *arguments: told.append(arguments))
    assert told[-1][:3] == ("download", 3, 3)
    assert told[-1][3].startswith("3.0 MB of 3.0 MB, ")
