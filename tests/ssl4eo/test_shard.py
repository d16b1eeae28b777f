from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarpipe.errors import DataError
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.ssl4eo import Store, UnreadablePlace, open_source, read_parts
from sarpipe.ssl4eo.bundle import MAX_MEMBER_BYTES
from sarpipe.ssl4eo.shard import MAX_MEMBERS, open_shard

WritePlace = Callable[..., bytes]
WriteTar = Callable[[Path, Mapping[str, bytes]], Path]
KEY = "ssl4eos12_train_seasonal_data_{:07d}"


@pytest.fixture(scope="module")
def members(simulated_places: list[SimulatedPlace], write_place: WritePlace) -> dict[str, bytes]:
    return {f"{KEY.format(i)}.zarr.zip": write_place(place) for i, place in enumerate(simulated_places[:3])}


def read(path: Path) -> list[Store | UnreadablePlace]:
    return list(read_parts(path))


def test_each_place_of_a_shard_is_read_alone_as_it_was_written(
    tmp_path: Path, members: dict[str, bytes], write_tar: WriteTar, simulated_places: list[SimulatedPlace]
) -> None:
    found = read(write_tar(tmp_path / "ssl4eos12_shard_000001.tar", members))
    assert len(found) == 3
    for store, place in zip(found, simulated_places, strict=False):
        assert isinstance(store, Store)
        assert (store.name, store.ids) == ("ssl4eos12_shard_000001", (place.id,))
        order = np.argsort([name[17:32] for name in place.file_ids])
        np.testing.assert_array_equal(store.db[0], place.db[order])
        assert store.products[0] == [place.file_ids[t] for t in order]
        assert store.order == ("product",)
        assert store.latitude[0] == place.location.latitude
        assert store.longitude[0] == place.location.longitude
        assert store.crs[0] == place.location.crs
        west, south, east, north = store.bounds[0]
        assert (east - west, north - south) == (2640, 2640)
        assert west == np.min(place.location.x) - 5


def test_without_sample_the_key_is_the_id(
    tmp_path: Path, simulated_places: list[SimulatedPlace], write_place: WritePlace, write_tar: WriteTar
) -> None:
    place = simulated_places[0]
    files = {
        "a/key-1.zarr.zip": write_place(place, sample=None),
        "key-2.zarr.zip": write_place(place, sample=([], np.int64(80717))),
        "notes.json": b"{}",
    }
    assert [part.ids for part in read(write_tar(tmp_path / "s.tar", files)) if isinstance(part, Store)] == [
        ("key-1",),
        ("80717",),
    ]


def test_a_corrupt_time_is_not_known_and_pixel_numbers_are_no_coordinates(
    tmp_path: Path, simulated_places: list[SimulatedPlace], write_place: WritePlace, write_tar: WriteTar
) -> None:
    place = simulated_places[0]
    times = np.sort(np.asarray(place.times, "datetime64[ns]")).astype(np.int64)
    corrupt = times.copy()
    corrupt[1] = -6795364578871345152
    counted = (["x"], np.arange(264))
    files = {
        "a.zarr.zip": write_place(place, file_id=None, time=(["time"], times), x=counted, y=None),
        "b.zarr.zip": write_place(place, file_id=None, time=(["time"], corrupt)),
        "c.zarr.zip": write_place(place, time=(["time"], corrupt)),
    }
    timed, corrupted, named = (part for part in read(write_tar(tmp_path / "s.tar", files)) if isinstance(part, Store))
    assert [timed.order, corrupted.order, named.order] == [("time",), ("stored",), ("product",)]
    assert np.isnat(corrupted.dates).tolist() == [[False, True, False, False]]
    assert not np.isnat(named.dates).any()
    assert timed.products == [[""] * 4]
    assert np.isnan(timed.bounds).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"band": (["band"], np.array(["B02", "B03"]))}, "has bands ['b02', 'b03'], needs ['vv', 'vh']"),
        ({"band": None}, "does not name its bands"),
        ({"bands": None}, "no variable 'bands'"),
        ({"bands": (["time", "band", "y", "x"], np.zeros((5, 2, 264, 264), "<f2"))}, "5 dates"),
        ({"bands": (["time", "band", "y", "x"], np.zeros((4, 2, 100, 264), "<f2"))}, "100 x 264 pixels"),
        ({"bands": (["sample", "time", "band", "y", "x"], np.zeros((2, 1, 2, 264, 264), "<f2"))}, "2 samples, needs 1"),
        ({"bands": (["time", "band", "y", "x"], np.zeros((1, 2, 264, 264), "<f4"))}, "dtype float32"),
        ({"bands": (["band", "time", "y", "x"], np.zeros((2, 2, 264, 264), "<f2"))}, "dimensions"),
        ({"sample": ([], np.array("../x"))}, "place ids cannot be used"),
        ({"sample": ([], np.float64(1))}, "sample has dtype float64"),
        ({"file_id": (["time"], np.array(["a"] * 3))}, "file_id has shape [3]"),
    ],
)
def test_a_member_that_is_no_place_is_one_quarantined_place(
    tmp_path: Path,
    simulated_places: list[SimulatedPlace],
    members: dict[str, bytes],
    write_place: WritePlace,
    write_tar: WriteTar,
    changes: dict[str, object],
    reason: str,
) -> None:
    path = write_tar(tmp_path / "s.tar", {"bad.zarr.zip": write_place(simulated_places[0], **changes), **members})
    bad, *others = read(path)
    assert isinstance(bad, UnreadablePlace)
    assert (bad.store, bad.id) == ("s", "bad")
    assert reason in bad.reason
    assert str(tmp_path) not in bad.reason
    assert len(others) == 3
    assert all(isinstance(part, Store) for part in others)


def test_members_that_are_no_zip_too_large_or_without_a_name_are_quarantined(
    tmp_path: Path, members: dict[str, bytes], write_tar: WriteTar
) -> None:
    bad = {"cut.zarr.zip": next(iter(members.values()))[:-9], "none.zarr.zip": b"", ".zarr.zip": b"x"}
    large = {"large.zarr.zip": bytes(MAX_MEMBER_BYTES + 1), "=1+1.zarr.zip": b"x"}
    found = read(write_tar(tmp_path / "s.tar", bad | large | members))
    reasons = {part.id: part.reason for part in found if isinstance(part, UnreadablePlace)}
    assert list(reasons) == ["cut", "none", "_-e3b0c442", "large", "_1_1-bac90eef"]
    assert "not a whole zip" in reasons["cut"]
    assert "4,194,305 bytes" in reasons["large"]
    assert "is not the id of a place" in reasons["_1_1-bac90eef"]
    assert len(found) == 8


def test_the_same_content_has_the_same_fingerprint_and_another_has_another(
    tmp_path: Path, members: dict[str, bytes], write_tar: WriteTar, simulated_places, write_place: WritePlace
) -> None:
    first = open_source(write_tar(tmp_path / "a.tar", members))
    assert first.fingerprint == open_source(write_tar(tmp_path / "b.tar", members)).fingerprint
    assert first.source_bytes == sum(map(len, members.values()))
    name = list(members)[1]
    changed = simulated_places[1].db.copy()
    changed[0, 0, 0, 0] += 1
    other = write_place(simulated_places[1], bands=(["time", "band", "y", "x"], changed))
    fingerprints = {first.fingerprint}
    for files in (
        {**members, name: other},
        {key: data for key, data in members.items() if key != name},
        dict(reversed(members.items())),
        {key.replace("_0000001", "_9"): data for key, data in members.items()},
    ):
        fingerprints.add(open_source(write_tar(tmp_path / "c.tar", files)).fingerprint)
    assert len(fingerprints) == 5


def test_memory_stays_flat(tmp_path: Path, members: dict[str, bytes], write_tar: WriteTar) -> None:
    data = next(iter(members.values()))
    path = write_tar(tmp_path / "s.tar", {f"{i}.zarr.zip": data for i in range(20)})

    def peak() -> int:
        tracemalloc.start()
        try:
            for count, _ in enumerate(read_parts(path), 1):
                if count == places:
                    break
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    places = 2
    few = peak()
    places = 20
    # Threads that other tests left allocate too. 18 places that were kept would be 20 MB.
    assert peak() < few + 3_000_000
    assert few < 2 * 1_115_136 + 4 * len(data) + 1_000_000


def special(path: Path, edit: Callable[[tarfile.TarInfo], None], data: bytes = b"") -> Path:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("a.zarr.zip")
        info.size = len(data)
        edit(info)
        tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    def link(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    with pytest.raises(DataError, match="not a plain file"):
        open_shard(special(tmp_path / "s.tar", link))


def test_tars_that_are_no_shards_are_refused(tmp_path: Path, members: dict[str, bytes], write_tar: WriteTar) -> None:
    one = next(iter(members.values()))
    twice = {"a/x.zarr.zip": one, "b/x.zarr.zip": one}
    refusals = {
        "holds no .zarr.zip": write_tar(tmp_path / "a.tar", {"a.txt": b"x"}),
        "holds 'x' twice": write_tar(tmp_path / "b.tar", twice),
        "more than 2,048 files": write_tar(tmp_path / "c.tar", {str(i): b"" for i in range(MAX_MEMBERS + 1)}),
        "without a checksum": write_tar(tmp_path / "d.tar", {f"{'x' * 120}.zarr.zip": one}),
        "does not exist": tmp_path / "e.tar",
    }
    (tmp_path / "f.tar").write_bytes(b"")
    (tmp_path / "g.tar").write_bytes(b"not a tar" * 1000)
    refusals |= {r"not a whole tar file \(empty": tmp_path / "f.tar", "not a whole tar file": tmp_path / "g.tar"}
    for reason, path in refusals.items():
        with pytest.raises(DataError, match=reason) as caught:
            open_shard(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_shard_cut_anywhere_or_with_a_damaged_header_is_refused(
    tmp_path: Path, members: dict[str, bytes], write_tar: WriteTar
) -> None:
    path = write_tar(tmp_path / "s.tar", members)
    data = path.read_bytes()
    bundle = open_shard(path)
    end = bundle.members[-1].offset + -(-bundle.members[-1].size // 512) * 512
    for size in (511, 512, 700, bundle.members[1].offset - 512, bundle.members[1].offset + 99, end - 1, end, end + 512):
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match="not a whole tar file"):
            open_shard(path)
    for member in bundle.members:
        # Somewhere in its name, its size and its type.
        for place in (3, 126, 156):
            damaged = bytearray(data)
            damaged[member.offset - 512 + place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(DataError, match="not a whole tar file"):
                open_shard(path)


@pytest.fixture
def shard(tmp_path: Path, members: dict[str, bytes], write_tar: WriteTar) -> Path:
    """Two places. A path, and not its bytes, as hypothesis writes the arguments of a test that fails."""
    return write_tar(tmp_path / "s.tar", dict(list(members.items())[:2]))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), in_headers=st.booleans())
def test_a_flipped_byte_gives_the_same_places_or_quarantined_ones_or_a_refused_shard(
    shard: Path, place: float, change: int, in_headers: bool
) -> None:
    data = bytearray(shard.read_bytes())
    whole = {part.ids: part for part in read(shard) if isinstance(part, Store)}
    keys = [member.key for member in open_shard(shard).members]
    second = open_shard(shard).members[1]
    # A zip's metadata and directory are few bytes among many: half of the flips shall hit there.
    start, stop = (second.offset - 2048, second.offset + 8192) if in_headers else (0, len(data))
    data[start + int(place * (stop - start))] ^= change
    path = shard.with_name("flipped.tar")
    path.write_bytes(data)
    try:
        found = read(path)
    except DataError:
        return
    assert len(found) == 2
    for part in found:
        if isinstance(part, Store):
            same = whole[part.ids]
            assert part.db.tobytes() == same.db.tobytes()
            assert (part.products, part.crs, part.order) == (same.products, same.crs, same.order)
            np.testing.assert_array_equal(part.bounds, same.bounds)
            assert (part.latitude, part.longitude) == (same.latitude, same.longitude)
        else:
            assert part.id in keys
