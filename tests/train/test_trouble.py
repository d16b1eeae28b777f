from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sarpipe.codes import Code
from sarpipe.errors import TrainingError
from sarpipe.preprocess.temporal import statistics
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.storage import commit, inspect
from sarpipe.train import TrainSettings
from sarpipe.train.loop import train
from sarpipe.train.order import Order
from sarpipe.train.places import Places
from sarpipe.train.trouble import not_finite, out_of_memory, strange

CPU = torch.device("cpu")
SETTINGS = TrainSettings(epochs=4, batch_size=4)


def broken_after(places, folder, step):
    """A checkpoint whose next loss is NaN."""

    def stop(done, steps, loss):
        if done == step:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(places, SETTINGS, folder, device="cpu", checkpoint_seconds=0, progress=stop)
    (checkpoint,) = folder.glob(f"step-{step:09d}-*")
    tensors = load_file(checkpoint / "state.safetensors")
    tensors["objective.head.0.bias"][:] = torch.nan
    history = (checkpoint / "history.json").read_text()

    def write(target):
        save_file(tensors, target / "state.safetensors")
        (target / "history.json").write_text(history)

    commit(checkpoint, inspect(checkpoint).meta, write)


def test_a_loss_that_is_not_finite_ends_the_run_with_step_and_places(toy_places, tmp_path):
    places = toy_places(13)
    broken_after(places, tmp_path, 4)
    with pytest.raises(
        TrainingError, match=r"the loss of step 5 is nan \(12 steps in all, this one of epoch 2\)"
    ) as caught:
        train(places, SETTINGS, tmp_path, device="cpu")
    keys = Places(places, CPU, with_frames=False).keys
    positions = Order(keys, seed=0, batch_size=4, steps_per_epoch=3).positions(4)
    ids = [places.ids[i] for i in positions.tolist()]
    assert f"its batch is {', '.join(ids)};" in caught.value.message
    assert "weights have diverged" in caught.value.message
    assert "train.learning_rate" in caught.value.hint
    note = json.loads((tmp_path / "not-finite-step-000000005.json").read_text())
    assert note == {"step": 5, "epoch": 2, "what": "loss of step 5 is nan", "ids": ids, "strange": {}}


@pytest.mark.parametrize("clip", [1.0, 0.0])
def test_a_gradient_that_is_not_finite_ends_the_run_before_its_weights_are_saved(
    toy_places, tmp_path, monkeypatch, clip
):
    places, settings = toy_places(13), TrainSettings(epochs=4, batch_size=4, gradient_clip=clip)
    expected = train(places, settings, tmp_path / "undisturbed", device="cpu")
    steps = iter(range(1, 100))

    def spoilt(parameters):
        if next(steps) == 5:
            next(iter(parameters)).grad.fill_(torch.inf)

    with monkeypatch.context() as broken:
        broken.setattr("sarpipe.ssl.processes.sum_gradients", spoilt)
        with pytest.raises(TrainingError, match=r"the gradient of step 5 is inf") as caught:
            train(places, settings, tmp_path / "run", device="cpu", checkpoint_seconds=0)
    keys = Places(places, CPU, with_frames=False).keys
    positions = Order(keys, seed=0, batch_size=4, steps_per_epoch=3).positions(4)
    assert f"its batch is {', '.join(places.ids[i] for i in positions.tolist())};" in caught.value.message
    # What was saved last is sound: the same run goes on from it, and ends as if nothing had been.
    again = train(places, settings, tmp_path / "run", device="cpu")
    assert again.facts["resumed_from_step"] == 4
    for name, tensor in expected.encoder.state_dict().items():
        assert torch.equal(again.encoder.state_dict()[name], tensor)


def test_what_cannot_be_written_of_it_does_not_hide_a_loss_that_is_not_finite(toy_places, disk, tmp_path):
    held = Places(toy_places(4), CPU, with_frames=False)
    folder = disk("size=64k")
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    (tmp_path / "file").touch()
    for where, why in ((folder, "no space left"), (tmp_path / "file", "cannot write")):
        error = not_finite(
            "loss of step 5 is nan", 5, 12, held, torch.arange(4), ViewSettings(), seed=0, epoch=1, folder=where
        )
        assert error.code == Code.NOT_FINITE
        assert error.message.startswith(
            "the loss of step 5 is nan (12 steps in all, this one of epoch 2); its batch is p"
        )
        assert f"no file names all: {why}" in error.message
    assert [path.name for path in folder.iterdir()] == ["filler"]


def test_places_with_infinite_or_absurd_numbers_are_named(toy_places, tmp_path):
    places = toy_places(4)
    frames = places.frames.copy()
    frames[1, 2, 0, 5, 6] = np.inf
    frames[2, :, 3] = 60_000
    frames[3, 0] = np.nan  # no data is no fault
    cubes = statistics(frames)
    cubes[0, 4, 7, 8] = -1e30
    views = ViewSettings.model_validate({"crop_min": 1, "symmetry": "none", "blur": (0, 0)})
    held = Places(dataclasses.replace(places, frames=frames, cubes=cubes), CPU, with_frames=True)
    found = strange(held, torch.arange(4), views, seed=0, epoch=0)
    assert list(found) == ["place_000", "place_001", "place_002"]
    assert "1e+30 in its cube" in found["place_000"]
    assert "inf in its frames" in found["place_001"]
    assert "60000 in its cube, 60000 in its frames, 60000 in its first view" in found["place_002"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nAnd more"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_says_what_to_set(error):
    with pytest.raises(TrainingError, match="a step of 64 places") as caught, out_of_memory(64, CPU):
        raise error
    assert caught.value.hint == "--set train.batch_size=32"
    assert "\n" not in caught.value.message
    with pytest.raises(TrainingError) as caught, out_of_memory(3, CPU):
        raise error
    assert "batch_size" not in caught.value.hint


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory(64, CPU):
        raise RuntimeError("shapes do not match")


def train_in_little_memory(places, folder, answers):
    train(places, TrainSettings(epochs=1, batch_size=4), folder / "enough", device="cpu")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20,) * 2)
    try:
        train(places, TrainSettings(epochs=1, batch_size=128), folder, device="cpu")
    except TrainingError as error:
        answers.send((error.message, error.hint))


def test_a_batch_beyond_memory_ends_with_what_to_set(toy_places, tmp_path, forkserver):
    places = toy_places(8)
    many = dataclasses.replace(
        places,
        ids=tuple(f"{i}" for i in range(128)),
        cubes=np.tile(places.cubes, (16, 1, 1, 1)),
        frames=np.tile(places.frames, (16, 1, 1, 1, 1)),
        index=places.index.loc[list(range(8)) * 16].reset_index(drop=True),
    )
    ours, theirs = multiprocessing.Pipe()
    child = forkserver.Process(target=train_in_little_memory, args=(many, tmp_path, theirs))
    child.start()
    child.join(120)
    assert ours.poll()
    message, hint = ours.recv()
    assert "a step of 128 places" in message
    assert hint == "--set train.batch_size=64"
