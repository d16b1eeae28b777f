from __future__ import annotations

import dataclasses
import errno
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sarpipe.errors import DamagedError, TrainingError
from sarpipe.model import embed, random_encoder
from sarpipe.model.encoder import channel_statistics
from sarpipe.preprocess.temporal import statistics
from sarpipe.storage import artefact, commit
from sarpipe.train import TrainSettings, checkpoint
from sarpipe.train.loop import fresh_state, train
from sarpipe.train.plan import Plan


class Killed(Exception):
    pass


def short(preset="sar", **overrides):
    return TrainSettings.of_preset(preset, **{"epochs": 4, "batch_size": 4, "learning_rate": 1e-3, **overrides})


def run(places, settings, folder, *, seconds=30, **options):
    return train(places, settings, folder, device="cpu", checkpoint_seconds=seconds, **options)


def stop_after(step):
    def progress(done, steps, loss):
        if done == step:
            raise Killed

    return progress


def same_bits(one, other):
    first, second = one.encoder.state_dict(), other.encoder.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("preset", ["sar", "original"])
def test_a_run_that_was_killed_and_resumed_ends_bit_for_bit_like_one_that_was_not(toy_places, tmp_path, preset):
    places = toy_places(5)
    settings = short(preset, batch_size=2)
    whole = run(places, settings, tmp_path / "whole")
    for step in (1, 5, 8):  # in the first epoch, within the third, at the end of the last
        with pytest.raises(Killed):
            run(places, settings, tmp_path / "killed", seconds=0, progress=stop_after(step))
        resumed = run(places, settings, tmp_path / "killed")
        assert resumed.facts["resumed_from_step"] == step
        assert same_bits(whole, resumed)
        assert resumed.losses.equals(whole.losses)
        assert resumed.monitors.equals(whole.monitors)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(toy_places, tmp_path, caplog):
    places = toy_places(8)
    whole = run(places, short(), tmp_path, seconds=0)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert [name[:14] for name in kept] == ["step-000000007", "step-000000008"]
    newest = tmp_path / kept[-1] / "state.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again = run(places, short(), tmp_path, seconds=0)
    assert "does not match its checksum" in caplog.text
    assert again.facts["resumed_from_step"] == 7
    assert same_bits(whole, again)
    assert run(places, short(), tmp_path).facts["resumed_from_step"] == 8


def flip(folder):
    file = folder / "state.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_where_all_checkpoints_are_damaged_training_does_not_start_from_scratch(toy_places, tmp_path, caplog):
    places = toy_places(8)
    whole = run(places, short(), tmp_path / "whole", seconds=0)
    with pytest.raises(Killed):
        run(places, short(), tmp_path / "damaged", seconds=0, progress=stop_after(5))
    for folder in (tmp_path / "damaged").iterdir():
        flip(folder)
    left = {path: path.stat().st_mtime_ns for path in (tmp_path / "damaged").rglob("*")}
    with pytest.raises(DamagedError, match="no checkpoint of this training is whole: all 2 in") as caught:
        run(places, short(), tmp_path / "damaged", seconds=0)
    assert f"delete {tmp_path / 'damaged'}" in caught.value.hint
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "damaged").rglob("*")} == left
    assert "going back" in caplog.text
    shutil.rmtree(tmp_path / "damaged")
    assert same_bits(whole, run(places, short(), tmp_path / "damaged"))


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_whole_one(toy_places, tmp_path):
    mean, std = channel_statistics(toy_places(4).cubes)
    device = torch.device("cpu")
    state = fresh_state(short(), Plan.of(short(), 4, device), mean, std, device)
    for state.step in (3, 4, 5):
        checkpoint.save(tmp_path, "0" * 64, state)
    flip(tmp_path / "step-000000005-000000000000")
    assert checkpoint.resume(tmp_path, "0" * 64, state) == 4
    state.step = 6
    checkpoint.save(tmp_path, "0" * 64, state)
    assert sorted(path.name[5:14] for path in tmp_path.iterdir()) == ["000000004", "000000006"]


def test_a_checkpoint_of_another_run_is_neither_used_nor_removed(toy_places, tmp_path):
    places = toy_places(8)
    run(places, short(epochs=1), tmp_path, seconds=0)
    others = {path.name for path in tmp_path.iterdir()}
    changed = dataclasses.replace(places, cubes=places.cubes + np.float32(1))
    for cubes, settings in (
        (places, short(epochs=1, seed=1)),
        (changed, short(epochs=1)),
        (toy_places(7), short(epochs=1)),
    ):
        assert run(cubes, settings, tmp_path, seconds=0).facts["resumed_from_step"] == 0
    assert others < {path.name for path in tmp_path.iterdir()}


def test_training_learns_to_find_a_place_again_on_other_dates(toy_places, tmp_path):
    places = toy_places(24, noise=2.0)
    result = train(places, TrainSettings.of_preset("sar", epochs=12, learning_rate=5e-4), tmp_path, device="cpu")
    losses = result.losses["loss"]
    assert losses[-3:].mean() < losses[:3].mean() - 0.5
    untrained = max(found_again(random_encoder(result.encoder, places.cubes, seed=seed), places) for seed in (0, 1))
    assert found_again(result.encoder, places) > untrained + 0.1


def found_again(encoder, places):
    """The share of places whose nearest vector on dates 1 and 3 is their own of dates 0 and 2."""
    halves = []
    for dates in ([0, 2], [1, 3]):
        vectors = embed(encoder, statistics(places.frames[:, dates]), device="cpu", batch_size=24)
        vectors -= vectors.mean(0)
        halves.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return np.mean((halves[0] @ halves[1].T).argmax(1) == np.arange(len(places.ids)))


def test_the_result_says_what_was_done(toy_places, tmp_path):
    calls = []
    result = run(toy_places(9), short(epochs=2), tmp_path, progress=lambda *call: calls.append(call))
    assert result.facts == {
        "device": "cpu",
        "precision": "fp32",
        "places": 9,
        "batch_size": 4,
        "steps": 4,
        "resumed_from_step": 0,
    }
    assert list(result.losses.columns) == ["step", "epoch", "loss", "learning_rate"]
    assert result.losses["step"].tolist() == [1, 2, 3, 4]
    assert result.losses["epoch"].tolist() == [1, 1, 2, 2]
    assert calls == [(i + 1, 4, loss) for i, loss in enumerate(result.losses["loss"])]
    assert result.monitors["epoch"].tolist() == [1, 2]
    assert result.monitors["rankme"].between(1, 8).all()
    assert result.monitors["alignment"].between(0, 4).all()
    assert (result.monitors["uniformity"] <= 0).all()
    assert result.monitors["pair_accuracy"].between(0, 1).all()
    assert not result.encoder.training
    assert not any(parameter.requires_grad for parameter in result.encoder.parameters())


def test_few_places_without_data_in_parts_and_without_coordinates(toy_places, tmp_path):
    places = toy_places(6)
    frames = places.frames.copy()
    frames[0, 1] = np.nan
    frames[1, :, :, :25] = np.nan
    frames[2, 2:, :, 40:] = np.nan
    index = places.index.assign(latitude=[np.nan, 1.0, 1.0, 1.0, 9.0, 9.0], longitude=0.0)
    holed = dataclasses.replace(places, frames=frames, cubes=statistics(frames), index=index)
    assert np.isnan(holed.cubes).any()
    result = run(holed, short(batch_size=None, epochs=2), tmp_path)
    assert result.facts["batch_size"] == 6
    assert np.isfinite(result.losses["loss"]).all()
    assert np.isfinite(embed(result.encoder, holed.cubes, device="cpu", batch_size=6)).all()


@pytest.mark.parametrize(("preset", "dates"), [("sar", [1]), ("sar", [1, 2, 3, 4]), ("original", [1])])
def test_places_of_fewer_dates(toy_places, tmp_path, preset, dates):
    places = toy_places(8)
    frames = places.frames.copy()
    for place, count in enumerate(dates * (8 // len(dates))):
        frames[place, count:] = np.nan
    fewer = dataclasses.replace(places, frames=frames, cubes=statistics(frames))
    result = run(fewer, short(preset, epochs=1), tmp_path)
    assert np.isfinite(result.losses["loss"]).all()
    assert np.isfinite(result.monitors.to_numpy()).all()
    assert all(value.isfinite().all() for value in result.encoder.state_dict().values())
    vectors = embed(result.encoder, fewer.cubes, device="cpu", batch_size=8)
    assert np.isfinite(vectors).all()
    assert vectors.std(axis=0).max() > 0


def test_the_mean_of_the_weights_is_what_is_kept_where_it_is_on(toy_places, tmp_path):
    places = toy_places(8)
    averaged, last = (run(places, short(epochs=2, ema=ema), tmp_path / str(ema)) for ema in (0.99, 0))
    assert averaged.losses.equals(last.losses)
    assert not same_bits(averaged, last)


def test_training_leaves_torchs_generator_and_the_data_alone(toy_places, tmp_path):
    places = toy_places(4)
    frozen = dataclasses.replace(places, cubes=places.cubes.copy(), frames=places.frames.copy())
    frozen.cubes.setflags(write=False)
    before = torch.get_rng_state()
    run(frozen, short("original", epochs=1), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(frozen.cubes, places.cubes)


def test_one_place_or_none_is_not_enough(toy_places, tmp_path):
    with pytest.raises(TrainingError, match="found 1"):
        run(toy_places(1), short(), tmp_path)


def test_places_that_are_all_neighbours_are_refused_with_a_way_out(toy_places, tmp_path):
    places = toy_places(4)
    near = dataclasses.replace(places, index=places.index.assign(latitude=48.0, longitude=[11, 11.01, 11.02, 11.03]))
    with pytest.raises(TrainingError, match="neighbour_km to 0"):
        run(near, short(), tmp_path)
    run(near, short(epochs=1, neighbour_km=0), tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("preset", ["sar", "original"])
def test_the_same_code_runs_on_a_gpu(toy_places, tmp_path, preset):
    places = toy_places(16)
    settings = short(preset, epochs=3, batch_size=8)
    result = train(places, settings, tmp_path, device="cuda", checkpoint_seconds=0)
    assert result.facts["precision"] == "bf16"
    assert np.isfinite(result.losses["loss"]).all()
    assert train(places, settings, tmp_path, device="cuda").facts["resumed_from_step"] == 6
    on_gpu, on_cpu = (embed(result.encoder, places.cubes, device=device) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_deterministic_switch_gives_the_same_bits_on_a_gpu_also_after_a_kill(toy_places, tmp_path):
    places = toy_places(16)
    settings = short(epochs=3, batch_size=8, deterministic=True)
    whole = train(places, settings, tmp_path / "whole", device="cuda")
    with pytest.raises(Killed):
        train(places, settings, tmp_path, device="cuda", checkpoint_seconds=0, progress=stop_after(4))
    assert same_bits(whole, train(places, settings, tmp_path, device="cuda"))
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("harm", ["disk", "another step", "another run"])
def test_a_checkpoint_that_the_disk_does_not_give_back_or_that_is_another_gives_way_to_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    key = "0" * 64
    names = [f"step-{step:09d}-{key[:12]}" for step in (1, 2)]
    for step, name in zip((1, 2), names, strict=True):
        meta = {"stage": "train", "key": "1" * 64 if harm == "another run" and step == 2 else key, "step": step}
        commit(tmp_path / name, meta, lambda folder: (folder / "state.safetensors").write_bytes(b"x") and None)
    if harm == "another step":
        shutil.rmtree(tmp_path / names[1])
        shutil.copytree(tmp_path / names[0], tmp_path / names[1])
    known = artefact.known_sha256

    def read(path: Path) -> str:
        if harm == "disk" and path.parent.name == names[1]:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return known(path)

    monkeypatch.setattr(artefact, "known_sha256", read)
    loaded: list[Path] = []
    monkeypatch.setattr(checkpoint, "_load", lambda tensors, history, state: loaded.append(tensors.parent))
    assert checkpoint.resume(tmp_path, key, None) == 1  # type: ignore[arg-type]
    assert loaded == [tmp_path / names[0]]
