import json
from typing import Any

import httpx
import pytest

from sarpipe.download import Retry, make_plan, select
from sarpipe.download.hub import _is_safe
from sarpipe.errors import DownloadError, SarpipeError, UsageError

NAMES = [f"ssl4eos12_val_seasonal_data_{number:06d}.zarr.zip" for number in range(1, 8)]


def listed(tmp_path: Any, *stores: str, revision: str = "main", **selection: Any) -> Any:
    retry = Retry(base_s=0.0, silence_s=5.0)
    return make_plan(tmp_path, select(stores=stores, **selection), lambda *_: None, revision=revision, retry=retry)


def test_every_page_of_the_listing_is_read(hub: Any, tmp_path: Any) -> None:
    hub.add(*NAMES, size=10)
    hub.page = 3
    plan = listed(tmp_path)
    assert [step.file.name for step in plan.steps] == NAMES
    assert sum("/tree/" in asked.path for asked in hub.api) == 3


def test_a_listing_without_end_is_left(hub: Any, tmp_path: Any) -> None:
    hub.add(NAMES[0], size=10)
    hub.page = 0
    with pytest.raises(DownloadError, match="more than 100 pages"):
        listed(tmp_path)


def test_all_is_fetched_from_the_commit_that_main_was(hub: Any, download: Any, tmp_path: Any) -> None:
    old = hub.branch
    hub.add(*NAMES[:2], size=10)
    plan = listed(tmp_path)
    hub.branch = "2" * 40
    hub.add(*NAMES[:2], size=10, commit=hub.branch)
    assert plan.commit == old
    assert listed(tmp_path).commit == hub.branch
    assert listed(tmp_path, revision=old).steps == plan.steps
    assert all("main" not in asked.path for asked in hub.api if "/tree/" in asked.path)


def test_what_is_not_a_store_of_the_split_is_left_out(hub: Any, tmp_path: Any) -> None:
    hub.add(NAMES[0], "README.md", ".hidden.zarr.zip", size=10)
    sha256 = {"oid": "a" * 64, "size": 10}
    for path in (f"val/S1GRD/../../{NAMES[1]}", f"/val/S1GRD/{NAMES[1]}", f"val/S2L2A/{NAMES[1]}", NAMES[1], 7):
        hub.extra.append({"type": "file", "path": path, "size": 10, "lfs": sha256})
    hub.extra += [None, "text", {"type": "file"}]
    assert [step.file.name for step in listed(tmp_path).steps] == [NAMES[0]]


@pytest.mark.parametrize(
    ("lfs", "said"),
    [(None, "the SHA-256 of"), ({"oid": "a" * 63, "size": 10}, "the SHA-256 of"), ({"oid": "a" * 64}, "the size of")],
)
def test_a_file_that_cannot_be_verified_is_refused(hub: Any, tmp_path: Any, lfs: Any, said: str) -> None:
    hub.add(NAMES[0], size=10)
    hub.extra = [{"type": "file", "path": f"val/S1GRD/{NAMES[1]}", "size": 10, "oid": "b" * 40, "lfs": lfs}]
    with pytest.raises(DownloadError, match=said):
        listed(tmp_path)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[" * 100_000, json.dumps({"sha": "../x"}).encode(), b"[1]", b"\xff"]
)
def test_an_answer_that_is_none_of_a_hub(hub: Any, tmp_path: Any, body: bytes) -> None:
    hub.faults["api"] = [lambda handler, *_: handler.answer(200, body)]
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 gives no usable answer"):
        listed(tmp_path)


def test_an_answer_without_end_is_not_read_into_memory(hub: Any, tmp_path: Any) -> None:
    hub.faults["api"] = [lambda handler, *_: handler.answer(200, b" " * (17 * 2**20))]
    with pytest.raises(DownloadError, match="more than 16777216 bytes"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("home", "url", "safe"),
    [
        ("https://hub", "https://content/x", True),
        ("http://hub", "http://content/x", True),
        ("http://hub", "https://content/x", True),
        ("https://hub", "http://content/x", False),
        ("https://hub", "ftp://content/x", False),
    ],
)
def test_a_redirect_keeps_to_https_and_the_web(home: str, url: str, safe: bool) -> None:
    assert _is_safe(httpx.URL(home), httpx.URL(url)) is safe


def test_an_empty_split_is_an_error(hub: Any, tmp_path: Any) -> None:
    hub.add(NAMES[0], size=10)
    with pytest.raises(DownloadError, match="none like"):
        listed(tmp_path, split="train")


def test_a_busy_hub_is_asked_again(hub: Any, faults: Any, tmp_path: Any) -> None:
    hub.add(NAMES[0], size=10)
    hub.faults["api"] = [faults.status(500), faults.reset, faults.status(429, RateLimit='"api";r=0;t=0')]
    assert len(listed(tmp_path).steps) == 1


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [(401, DownloadError, "refused"), (403, DownloadError, "refused"), (404, UsageError, "main")],
)
def test_a_refusal_is_not_asked_again(
    hub: Any, faults: Any, tmp_path: Any, code: int, kind: type[SarpipeError], said: str
) -> None:
    hub.faults["api"] = [faults.status(code)]
    with pytest.raises(kind, match=said) as error:
        listed(tmp_path)
    assert error.value.hint
    assert len(hub.api) == 1


def test_a_name_that_is_not_there_is_told_before_anything_is_fetched(hub: Any, tmp_path: Any) -> None:
    hub.add(*NAMES[:3], size=10)
    with pytest.raises(UsageError, match=NAMES[4]) as error:
        listed(tmp_path, NAMES[0], NAMES[4])
    assert "3 files are there" in error.value.hint


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://127.0.0.1", "http://", "file:///etc"])
def test_an_endpoint_that_is_no_web_address(
    hub: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(UsageError, match="HF_ENDPOINT"):
        listed(tmp_path)


def test_a_token_that_is_none_is_not_shown(hub: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret\nline")
    with pytest.raises(UsageError, match="HF_TOKEN") as error:
        listed(tmp_path)
    assert "secret" not in str(error.value)
