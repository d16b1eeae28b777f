import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sarpipe.cubes import CubeFiles, CubeSet, RowFiles
from sarpipe.errors import DamagedError
from sarpipe.model import channel_statistics
from sarpipe.ssl.simclr import Batch
from sarpipe.train import TrainSettings
from sarpipe.train.loop import train
from sarpipe.train.places import Places, dates_with_data

CPU = torch.device("cpu")


def test_which_dates_hold_data() -> None:
    frames = np.full((4, 4, 4, 64, 64), np.nan, np.float16)
    frames[0] = 1
    frames[1, [0, 2]] = 1
    frames[2, 3, 0, 5, 6] = 1
    there = dates_with_data(frames)
    assert there[:3].tolist() == [[True] * 4, [True, False, True, False], [False, False, False, True]]
    # Nothing is drawn from a place without any: its views are its cube.
    assert there[3].all()
    assert dates_with_data(frames[:0]).shape == (0, 4)
    assert torch.from_numpy(there).dtype == torch.bool


def in_files(places: CubeSet, folder: Path, files: int = 3) -> CubeFiles:
    """The same places, in files, in which they lie the other way round."""
    folder.mkdir(parents=True, exist_ok=True)
    n = len(places.ids)
    which = np.arange(n) % files
    rows = np.array([(which[i + 1 :] == which[i]).sum() for i in range(n)])
    for name, array in (("cubes", places.cubes), ("frames", places.frames)):
        for i in range(files):
            np.save(folder / f"{name}-{i}.npy", array[which == i][::-1])
    cubes, frames = (
        RowFiles([folder / f"{name}-{i}.npy" for i in range(files)], which, rows) for name in ("cubes", "frames")
    )
    return CubeFiles(places.ids, cubes, frames, places.index, None)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a.nan_to_num(9), b.nan_to_num(9)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_batches_from_files_are_those_from_memory_for_any_number_of_readers(
    toy_places: Callable[..., CubeSet], tmp_path: Path, readers: int
) -> None:
    places = toy_places(11)
    places.frames[4, 1:] = np.nan
    wanted = [torch.tensor(part) for part in ([3, 10, 4], [0], [9, 8, 7, 6, 5], [2, 1, 0], [4, 4])]
    memory = Places(places, CPU, with_frames=True)
    files = Places(in_files(places, tmp_path), CPU, with_frames=True, readers=readers)
    read = list(files.batches(iter(wanted)))
    assert len(read) == len(wanted)
    assert all(same(one, other) for one, other in zip(memory.batches(wanted), read, strict=True))
    assert all(same(files.batch(part), other) for part, other in zip(wanted, read, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["memory", "files"])
def test_batches_that_are_copied_to_a_gpu_are_those_that_lie_there(
    toy_places: Callable[..., CubeSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    places, gpu = toy_places(96), torch.device("cuda")
    there = Places(places, gpu, with_frames=True)
    monkeypatch.setattr("sarpipe.train.places.SHARE_OF_GPU", 0)
    copied = Places(in_files(places, tmp_path) if where == "files" else places, gpu, with_frames=True)
    wanted = torch.randint(96, (40, 64)).unbind()
    work = torch.ones(2048, 2048, device=gpu)
    for one, other in zip(there.batches(wanted), copied.batches(wanted), strict=True):
        for _ in range(20):  # a step that the copy of the next batch may overtake
            work = work @ work / 2048
        assert same(Batch._make(part.clone() for part in one), Batch._make(part.clone() for part in other))


def test_leaving_early_and_failing_end_the_readers(toy_places: Callable[..., CubeSet], tmp_path: Path) -> None:
    def readers() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("sarpipe-read")]

    places = Places(in_files(toy_places(6), tmp_path), CPU, with_frames=False)
    batches = places.batches(torch.arange(6).split(1))
    next(batches)
    assert readers()
    batches.close()
    assert not readers()
    (tmp_path / "cubes-1.npy").unlink()
    with pytest.raises(DamagedError, match=r"cubes-1\.npy"):
        list(places.batches(torch.arange(6).split(2)))
    assert not readers()


def test_statistics_of_channels_are_the_same_bits_from_files(
    toy_places: Callable[..., CubeSet], tmp_path: Path
) -> None:
    places = toy_places(150)
    places.cubes[7, :, 10:30] = np.nan
    files = in_files(places, tmp_path)
    for one, other in zip(channel_statistics(places.cubes), channel_statistics(files.cubes), strict=True):
        assert np.array_equal(one, other)


def test_training_from_files_gives_the_same_bits_and_goes_on_with_cubes_in_memory(
    toy_places: Callable[..., CubeSet], tmp_path: Path
) -> None:
    places = toy_places(9)
    files = in_files(places, tmp_path / "files")
    settings = TrainSettings(epochs=2, batch_size=4)

    def stop(done: int, steps: int, loss: float) -> None:
        if done == 3:
            raise InterruptedError

    memory = train(places, settings, tmp_path / "memory", device="cpu")
    with pytest.raises(InterruptedError):
        train(files, settings, tmp_path / "read", device="cpu", checkpoint_seconds=0, progress=stop)
    read = train(places, settings, tmp_path / "read", device="cpu")
    assert read.facts["resumed_from_step"] == 3
    assert read.losses.equals(memory.losses)
    assert read.monitors.equals(memory.monitors)
    weights = read.encoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in memory.encoder.state_dict().items())


def read_all(files: CubeFiles, answers: Connection) -> None:
    def peak() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    torch.ones(64, 64) @ torch.ones(64, 64)
    before = peak()
    channel_statistics(files.cubes)
    places = Places(files, CPU, with_frames=True)
    count = sum(len(batch.keys) for batch in places.batches(torch.arange(len(files.ids)).split(16)))
    answers.send((count, peak() - before))


def test_memory_does_not_grow_with_the_set(
    toy_places: Callable[..., CubeSet], tmp_path: Path, forkserver: ForkServerContext
) -> None:
    few = in_files(toy_places(8), tmp_path, files=1)
    n, repeats = 8, 100
    rows = np.tile(np.arange(n), repeats)
    cubes, frames = (
        RowFiles([tmp_path / f"{name}-0.npy"], np.zeros(len(rows), int), rows) for name in ("cubes", "frames")
    )
    index = pd.DataFrame({"latitude": 0.0, "longitude": 0.0}, index=range(len(rows)))
    many = CubeFiles(tuple(f"{i}" for i in range(len(rows))), cubes, frames, index, None)
    assert many.nbytes == repeats * few.nbytes > 250e6
    ours, theirs = multiprocessing.Pipe()
    child = forkserver.Process(target=read_all, args=(many, theirs))
    child.start()
    child.join(120)
    assert ours.poll()
    count, grown = ours.recv()
    assert count == len(rows)
    # Four batches of 16 are 21 MB, a block of 64 rows is at most 17 MB with its copy as float64: 2 MB a channel.
    assert grown < 100e6
