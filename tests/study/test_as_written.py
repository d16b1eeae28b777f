import numpy as np
import pandas as pd
import pytest
import torch

from sarpipe.cubes import CubeSet
from sarpipe.errors import TrainingError
from sarpipe.model.extract import embed
from sarpipe.study.as_written import LEARNING_RATE, loss_as_written, train_as_written
from sarpipe.train import TrainSettings

PLACES = 10


def raw_places() -> CubeSet:
    """Places with channels of the scales that the original feeds: dB, grey levels, gradients."""
    random = np.random.default_rng(0)
    scale = np.tile([3, 3, 60, 300], 3)[:, None, None]
    cubes = random.normal(0, 1, (PLACES, 12, 64, 64)) * scale + random.normal(0, 2, (PLACES, 12, 1, 1)) * scale - 12
    index = pd.DataFrame({"latitude": random.uniform(0, 60, PLACES), "longitude": random.uniform(0, 60, PLACES)})
    frames = np.zeros((PLACES, 4, 4, 64, 64), np.float16)
    return CubeSet(tuple(f"place {i}" for i in range(PLACES)), cubes.astype(np.float32), frames, index, None)


def trained(cubes: CubeSet, epochs: int, seed: int) -> tuple[torch.nn.Module, list[float]]:
    losses: list[float] = []
    settings = TrainSettings(epochs=epochs, seed=seed)
    encoder = train_as_written(cubes, settings, device="cpu", progress=lambda step, steps, loss: losses.append(loss))
    return encoder, losses


def test_the_loss_is_that_of_loops_in_which_the_partner_is_among_its_own_negatives() -> None:
    random = np.random.default_rng(0)
    z1, z2 = random.normal(size=(2, 5, 7))
    views = np.concatenate([z1, z2])
    total = 0.0
    for i in range(10):
        like = [views[i] @ views[k] / np.linalg.norm(views[i]) / np.linalg.norm(views[k]) / 0.5 for k in range(10)]
        partner = np.exp(like[(i + 5) % 10])
        negatives = sum(np.exp(like[k]) for k in range(10) if k != i)
        total -= np.log(partner / (partner + negatives)) / 10
    found = loss_as_written(torch.tensor(z1), torch.tensor(z2), 0.5)
    assert found.item() == pytest.approx(total, rel=1e-9)
    # However well the partner is told, it is one of two of itself.
    alike = torch.eye(6)
    assert loss_as_written(alike, alike, 0.01).item() == pytest.approx(np.log(2), rel=1e-5)


def test_it_is_a_plain_loop_of_adam_on_the_same_cubes_twice() -> None:
    cubes = raw_places()
    encoder, losses = trained(cubes, 3, seed=4)
    assert len(losses) == 3
    assert losses[-1] < losses[0] < np.log(2 * PLACES)

    like, _ = trained(cubes, 1, seed=4)
    assert [name for name, _ in like.named_parameters()] == [name for name, _ in encoder.named_parameters()]
    moved = [(a - b).abs().max().item() for a, b in zip(like.parameters(), encoder.parameters(), strict=True)]
    # Two steps of Adam move no weight by more than twice the rate, whatever the scale of the channels.
    assert 0 < max(moved) < 2.5 * LEARNING_RATE


def test_views_differ_by_dropout_alone_and_channels_come_as_they_are() -> None:
    cubes = raw_places()
    encoder, _ = trained(cubes, 1, seed=0)
    batch = torch.from_numpy(cubes.cubes)
    torch.testing.assert_close(encoder.standardise(batch), batch)
    with torch.inference_mode():
        assert torch.equal(encoder(batch), encoder(batch))
        encoder.train()
        first, second = encoder(batch), encoder(batch)
    assert not torch.allclose(first, second, atol=1e-3)
    tokens = [encoder.conv(batch) for _ in range(2)]
    assert torch.equal(*tokens)
    # The mean of 128-D tokens through a linear layer.
    assert encoder.readout.weight.shape == (1024, 128)
    vectors = embed(encoder, np.repeat(cubes.cubes, 20, axis=0) + np.float32(1e-3), device="cpu")
    assert vectors.shape == (200, 1024)


def test_a_pixel_without_data_has_the_mean_of_its_channel() -> None:
    cubes = raw_places()
    cubes.cubes[3, 5, :20] = np.nan
    encoder, losses = trained(cubes, 1, seed=0)
    assert np.isfinite(losses).all()
    filled = encoder.standardise(torch.from_numpy(cubes.cubes[3:4]))[0, 5, :20]
    np.testing.assert_allclose(filled, np.nanmean(cubes.cubes[:, 5].astype(np.float64)), rtol=1e-5)
    assert np.isfinite(embed(encoder, cubes.cubes, device="cpu")).all()


def test_the_same_seed_gives_the_same_encoder_and_every_epoch_another_order() -> None:
    cubes = raw_places()
    first, again, other = (
        torch.cat([weights.flatten() for weights in trained(cubes, 2, seed)[0].parameters()]) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_only_full_batches_of_64_are_taken() -> None:
    cubes = raw_places()
    ids = tuple(f"place {i}" for i in range(70))
    index = pd.concat([cubes.index] * 7, ignore_index=True)
    many = CubeSet(ids, np.tile(cubes.cubes, (7, 1, 1, 1)), np.tile(cubes.frames, (7, 1, 1, 1, 1)), index, None)
    _, losses = trained(many, 2, seed=0)
    assert len(losses) == 2
    assert losses[0] > np.log(64)


def test_a_loss_that_is_not_finite_is_said() -> None:
    cubes = raw_places()
    cubes.cubes[:] = np.float32(3e38) * np.sign(cubes.cubes)
    with pytest.raises(TrainingError, match="the loss of step 1 of the original's own training is"):
        trained(cubes, 1, seed=0)
