import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sarpipe.download import Retry
from sarpipe.errors import DownloadError

NAME = "ssl4eos12_val_seasonal_data_000001.zarr.zip"


def file(root: Path) -> Path:
    return root / "val" / "S1GRD" / NAME


def parts(root: Path) -> list[Path]:
    return sorted(root.rglob("*.part"))


def test_a_file_comes_whole_by_way_of_the_content_network(hub: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME)
    outcome = download()
    assert file(tmp_path).read_bytes() == content
    assert (len(outcome.fetched), outcome.received, parts(tmp_path)) == (1, len(content), [])
    assert hub.sent(NAME) == [(None, len(content))]
    assert hub.content[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("cuts", [[1], [150_000, 20_000], [0, 199_999]])
def test_a_body_cut_short_goes_on_where_it_ended(
    hub: Any, faults: Any, download: Any, tmp_path: Path, cuts: list[int]
) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.cut(count) for count in cuts]
    download()
    assert file(tmp_path).read_bytes() == content
    starts = [sum(cuts[:index]) for index in range(len(cuts) + 1)]
    assert [asked for asked, _ in hub.sent(NAME)] == [f"bytes={start}-" if start else None for start in starts]
    assert sum(sent for _, sent in hub.sent(NAME)) == len(content)


@pytest.mark.parametrize("kind", ["busy", "reset", "limited"])
def test_a_server_that_fails_is_asked_again(hub: Any, faults: Any, download: Any, tmp_path: Path, kind: str) -> None:
    (content,) = hub.add(NAME)
    fault = {"busy": faults.status(503), "reset": faults.reset, "limited": faults.status(429, Retry_After="0")}[kind]
    hub.faults[NAME] = [fault, fault]
    download()
    assert file(tmp_path).read_bytes() == content
    assert len(hub.content) == 3


def test_a_server_that_says_how_long_to_wait_is_heard(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    hub.add(NAME)
    hub.faults[NAME] = [faults.status(429, Retry_After="1")]
    before = time.monotonic()
    download()
    assert 1 <= time.monotonic() - before < 5


def test_but_not_longer_than_the_cap(hub: Any, faults: Any, download: Any) -> None:
    hub.add(NAME)
    hub.faults[NAME] = [faults.status(429, Retry_After="100000")]
    before = time.monotonic()
    download(retry=Retry(asked_cap_s=0.1))
    assert time.monotonic() - before < 5


def test_attempts_are_bounded_and_what_came_is_kept(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.cut(1000), *[faults.status(503)] * 9]
    with pytest.raises(DownloadError, match=f"{NAME}: given up after 5 attempts: 127.0.0.1 answered 503") as error:
        download()
    assert "run it again" in error.value.hint
    assert len(hub.content) == 5
    (part,) = parts(tmp_path)
    assert part.read_bytes() == content[:1000]
    hub.faults.clear()
    download()
    assert hub.sent(NAME)[-1] == ("bytes=1000-", len(content) - 1000)
    assert file(tmp_path).read_bytes() == content


def test_failures_do_not_count_together_while_it_goes_on(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME, size=8 * 2**20)
    hub.faults[NAME] = [faults.cut(2**20)] * 7
    download()
    assert file(tmp_path).read_bytes() == content


def test_a_server_that_falls_silent_is_left(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.hang(5000)]
    download(retry=Retry(base_s=0.0, silence_s=0.3))
    assert file(tmp_path).read_bytes() == content
    assert hub.sent(NAME) == [(None, 5000), ("bytes=5000-", len(content) - 5000)]


def test_wrong_bytes_are_fetched_once_more(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.wrong]
    download()
    assert file(tmp_path).read_bytes() == content
    assert [asked for asked, _ in hub.sent(NAME)] == [None, None]


def test_wrong_bytes_twice_are_an_error_that_says_what_came(
    hub: Any, faults: Any, download: Any, tmp_path: Path
) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.wrong, faults.wrong, faults.wrong]
    with pytest.raises(DownloadError) as error:
        download()
    came = bytes(byte ^ 1 for byte in content)
    for said in (f"val/S1GRD/{NAME}", hashlib.sha256(content).hexdigest(), hashlib.sha256(came).hexdigest()):
        assert said in error.value.message
    assert len(hub.content) == 2
    assert not file(tmp_path).exists()
    assert parts(tmp_path) == []


def test_a_body_that_is_too_long_is_wrong(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.too_long]
    download()
    assert file(tmp_path).read_bytes() == content


@pytest.mark.parametrize("kind", ["ignores_the_range", "another_range", "no_range"])
def test_a_server_without_ranges_sends_it_all(hub: Any, faults: Any, download: Any, tmp_path: Path, kind: str) -> None:
    (content,) = hub.add(NAME)
    second = faults.status(416) if kind == "no_range" else getattr(faults, kind)
    # Wrong bytes once are allowed, and none were used up before.
    hub.faults[NAME] = [faults.cut(70_000), second, faults.wrong]
    download()
    assert file(tmp_path).read_bytes() == content
    asked = [None, "bytes=70000-"] + ([] if kind == "ignores_the_range" else [None, None])
    assert [start for start, _ in hub.sent(NAME)] == asked


def test_a_part_that_was_changed_is_found_out(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.cut(9000), *[faults.status(503)] * 4]
    with pytest.raises(DownloadError):
        download()
    parts(tmp_path)[0].write_bytes(b"x" * 9000)
    download()
    assert file(tmp_path).read_bytes() == content
    assert [asked for asked, _ in hub.sent(NAME)[5:]] == ["bytes=9000-", None]


@pytest.mark.parametrize("length", [200_000, 300_000])
def test_a_part_as_long_as_the_file_or_longer(
    hub: Any, faults: Any, download: Any, tmp_path: Path, length: int
) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.cut(9000), *[faults.status(503)] * 4]
    with pytest.raises(DownloadError):
        download()
    parts(tmp_path)[0].write_bytes((content + b"y" * 100_000)[:length])
    before = len(hub.content)
    hub.faults[NAME] = [faults.wrong]
    download()
    assert file(tmp_path).read_bytes() == content
    assert len(hub.content) - before == (0 if length == len(content) else 2)


def test_a_part_of_another_version_is_never_gone_on_with(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    hub.add(NAME)
    hub.faults[NAME] = [faults.cut(9000), *[faults.status(503)] * 4]
    with pytest.raises(DownloadError):
        download()
    hub.branch = "2" * 40
    (content,) = hub.add(NAME, commit=hub.branch)
    before = len(hub.content)
    download()
    assert file(tmp_path).read_bytes() == content
    assert hub.sent(NAME)[before:] == [(None, len(content))]
    assert parts(tmp_path) == []


def test_a_link_that_ran_out_is_asked_for_again(hub: Any, faults: Any, download: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAME)
    hub.faults[NAME] = [faults.cut(9000), faults.status(403)]
    download()
    assert file(tmp_path).read_bytes() == content
    assert len(hub.links) == 3


def test_the_token_goes_to_the_hub_alone(hub: Any, download: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", " hf_secret\n")
    hub.add(NAME)
    download()
    assert {asked.headers.get("Authorization") for asked in (*hub.api, *hub.links)} == {"Bearer hf_secret"}
    assert "hf_secret" not in str(hub.content)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_leads_to_the_web_or_nowhere(hub: Any, download: Any, tmp_path: Path, location: str) -> None:
    hub.add(NAME)
    hub.location = location
    with pytest.raises(DownloadError, match="not safe"):
        download()
    assert not file(tmp_path).exists()


def test_a_redirect_in_a_circle_ends(hub: Any, download: Any) -> None:
    hub.add(NAME)
    hub.location = f"{hub.endpoint}/datasets/{hub.repository}/resolve/{hub.branch}/val/S1GRD/{NAME}"
    with pytest.raises(DownloadError, match="redirects"):
        download()
    assert len(hub.links) <= 6


def test_nothing_is_left_running(hub: Any, download: Any) -> None:
    hub.add(NAME)
    before = threading.active_count()
    download()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
