import http.client
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.errors import RemoteError, SarpipeError, UsageError
from sarpipe.storage.remote import ATTEMPTS, RemotePath, Stat, _tag, check_bucket, is_url, local_path, remote_path

CONTENT = random.Random(1).randbytes(300_000)


@pytest.fixture
def stored(bucket: str) -> RemotePath:
    path = remote_path(f"{bucket}/folder") / "file.bin"
    path.write(CONTENT)
    return path


def test_what_is_written_is_read_listed_and_removed(stored: RemotePath, tmp_path: Path) -> None:
    folder = stored.parent
    (tmp_path / "other").write_bytes(b"other")
    (folder / "below/other").put(tmp_path / "other")

    assert stored.size() == len(CONTENT)
    assert stored.read(len(CONTENT)) == CONTENT
    assert stored.read_range(100, 200) == CONTENT[100:200]
    assert folder.files() == {"file.bin": len(CONTENT), "below/other": 5}
    below, file = folder.children()
    assert (below.path, below.is_folder) == (folder / "below", True)
    assert (file.path, file.is_folder, file.size) == (stored, False, len(CONTENT))
    assert remote_path(f"{folder}/*.bin").glob() == [file] == [stored.stat()]
    assert [place.exists() for place in (stored, folder, folder / "nothing")] == [True, True, False]
    stored.remove()
    stored.remove()
    assert folder.files() == {"below/other": 5}


def test_another_content_has_another_tag_and_the_same_has_the_same(stored: RemotePath) -> None:
    first = stored.stat()
    assert first.tag is not None
    stored.write(CONTENT[::-1])
    second = stored.stat()
    assert (second.size, second.tag != first.tag) == (first.size, True)
    stored.write(CONTENT)
    assert stored.stat() == first


@pytest.mark.parametrize(
    ("said", "tag"),
    [
        ({"ETag": '"abc"'}, "etag:abc"),
        ({"etag": "abc", "md5Hash": "m==", "crc32c": "c"}, "md5hash:m=="),
        ({"etag": "abc", "crc32c": "c"}, "crc32c:c"),
        ({"ETag": 'W/"abc"'}, None),
        ({"ETag": '""', "LastModified": "2026-01-01", "Last-Modified": "now", "mtime": 1.0}, None),
    ],
)
def test_a_tag_is_a_checksum_or_a_strong_etag_and_never_a_time(said: dict[str, object], tag: str | None) -> None:
    assert _tag(said) == tag


def test_a_match_that_leads_elsewhere_is_not_followed(stored: RemotePath, s3) -> None:
    connection = http.client.HTTPConnection(s3.address)
    connection.request("PUT", stored.parent.url.replace("s3:/", "") + "/%2E%2E/x.zarr.zip", b"x")
    assert connection.getresponse().status == 200
    connection.close()
    with pytest.raises(RemoteError, match="no name of a file below it"):
        remote_path(f"{stored.parent}/*/*.zarr.zip").glob()


@pytest.mark.parametrize("failure", ["503", "500", "429", "reset", "cut"])
def test_a_transient_failure_is_tried_again(stored: RemotePath, s3, failure: str, tmp_path: Path) -> None:
    s3.fail(failure, failure, of="^GET")
    stored.fetch(tmp_path / "copy", len(CONTENT), len(CONTENT))

    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert s3.count("^GET .*file.bin") == 3


@pytest.mark.parametrize("failure", ["503", "reset"])
def test_uploads_are_tried_again_too(stored: RemotePath, s3, failure: str, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    s3.fail(failure, of="^PUT")
    stored.put(tmp_path / "new")
    assert (stored.read(10), s3.count("^PUT")) == (b"new", 2)


@pytest.mark.parametrize("failure", ["503", "reset", "cut"])
def test_attempts_are_bounded_and_the_error_says_what_where_and_how_often(
    stored: RemotePath, s3, failure: str, tmp_path: Path
) -> None:
    s3.fail(*[failure] * 100)
    with pytest.raises(RemoteError, match=rf"{stored}: fetching failed {ATTEMPTS} times, at last with: .+"):
        stored.fetch(tmp_path / "copy", len(CONTENT), len(CONTENT))
    # One request an attempt: no library below tries again on its own account. But for a connection that is closed
    # before an answer: aiohttp opens another one, once.
    assert len(s3.requests) <= (2 * ATTEMPTS if failure == "reset" else ATTEMPTS)


def test_what_is_not_there_is_not_asked_for_again(stored: RemotePath, s3) -> None:
    s3.fail()
    with pytest.raises(FileNotFoundError, match="folder/nothing does not exist"):
        (stored.parent / "nothing").read(10)
    assert len(s3.requests) == 1


def test_no_access_is_said_once_with_what_to_set(stored: RemotePath, s3) -> None:
    s3.fail(*["403"] * 10)
    with pytest.raises(UsageError, match=r"access is denied .* AWS_ACCESS_KEY_ID"):
        stored.read(10)
    assert len(s3.requests) == 1


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    check_bucket(remote_path(f"{bucket}/x"))
    with pytest.raises(UsageError, match=r"no bucket s3://no-such-bucket\."):
        check_bucket(remote_path("s3://no-such-bucket/x"))


def test_without_credentials_the_message_says_what_to_set(s3) -> None:
    program = (
        "import os, sys\n"
        "del os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY']\n"
        "from sarpipe.flows.cli import main\n"
        "sys.exit(main(['preprocess', 's3://bucket/stores', '--data', sys.argv[1], '--dry-run']))"
    )
    done = subprocess.run([sys.executable, "-c", program, "data"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "s3://bucket/stores: no credentials" in done.stderr
    assert "AWS_ACCESS_KEY_ID" in done.stderr
    assert "Traceback" not in done.stderr


def test_more_than_may_come_does_not_come(stored: RemotePath, tmp_path: Path) -> None:
    for read in (
        lambda: stored.read(1000),
        lambda: stored.fetch(tmp_path / "copy", None, 1000),
        lambda: stored.fetch(tmp_path / "copy", len(CONTENT), 1000),
    ):
        with pytest.raises(RemoteError, match="more than the 1,000 bytes"):
            read()


def test_a_web_server_is_read_even_where_it_knows_no_ranges(web_server: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    path = remote_path(f"{web_server}/file.bin")

    assert path.size() == len(CONTENT)
    assert path.read(len(CONTENT)) == CONTENT
    with pytest.raises(RemoteError, match="more than the 1,000 bytes"):
        path.read(1000)
    assert path.read_range(1000, 2000) == CONTENT[1000:2000]
    assert remote_path(web_server).children() == [Stat(path, is_folder=False, size=None, tag=None)]
    path.fetch(tmp_path / "copy", path.size(), len(CONTENT))
    assert (tmp_path / "copy").read_bytes() == CONTENT
    with pytest.raises(FileNotFoundError):
        path.with_name("nothing").size()


def test_a_web_server_that_is_ill_is_not_said_to_lack_the_file(
    web_server: str, flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fsspec says "not found" of any failure here.
    monkeypatch.setattr("sarpipe.storage.remote.FIRST_WAIT_SECONDS", 0.001)
    (tmp_path / "file.bin").write_bytes(CONTENT)
    server = flaky(web_server.removeprefix("http://"))
    path = remote_path(f"http://{server.address}/file.bin")

    server.fail(*["503"] * 100)
    with pytest.raises(RemoteError, match=f"failed {ATTEMPTS} times"):
        path.size()
    server.fail("503", "503")
    assert path.size() == len(CONTENT)
    server.fail("403", "403")
    with pytest.raises(UsageError, match="access is denied"):
        path.size()


def test_a_server_that_is_not_there_is_an_error_after_all_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sarpipe.storage.remote.FIRST_WAIT_SECONDS", 0.001)
    with pytest.raises(RemoteError, match=f"http://127.0.0.1:9/x: .* failed {ATTEMPTS} times"):
        remote_path("http://127.0.0.1:9/x").size()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://key:sesame@bucket/x", "password"),
        ("https://user:sesame@host/x", "password"),
        ("https://host/x?signature=sesame", "query"),
        ("s3://bucket/a/../b", r"'\.\.'"),
        ("simplecache::s3://bucket/x", "no URL"),
        ("s3://", "no URL"),
        ("nosuch://bucket/x", "Protocol not known"),
        ("s3://bucket/a\x1b[2Jb", "unprintable"),
    ],
)
def test_urls_that_cannot_be_used_are_refused_and_give_away_no_secret(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        remote_path(url)
    assert "sesame" not in str(refused.value)


def test_a_protocol_whose_package_is_missing_says_which() -> None:
    with pytest.raises(UsageError, match="gcsfs"):
        remote_path("gs://bucket/x")


@given(st.text())
def test_names_from_a_listing_stay_below_their_folder(name: str) -> None:
    folder = RemotePath("s3://bucket/folder")
    try:
        path = folder / name
    except SarpipeError:
        return
    assert path.url.startswith("s3://bucket/folder/")
    assert not {"", ".", ".."} & set(path.url.removeprefix("s3://").split("/"))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "a\\..\\b", "a\nb"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(RemoteError, match="no name of a file below it"):
        RemotePath("s3://bucket/folder") / name


def test_file_urls_and_paths_are_local() -> None:
    assert [is_url(text) for text in ("s3://b/x", "data", "/a::b", "file:///a", "C", "./s3:/x")] == [
        True,
        *[False] * 5,
    ]
    assert local_path("file:///a%20b/c") == Path("/a b/c")
