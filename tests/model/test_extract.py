from __future__ import annotations

import numpy as np
import pytest
import torch

from sarpipe.errors import DataError, UsageError
from sarpipe.model import EncoderConfig, channel_statistics, embed, new_encoder, random_encoder


@pytest.fixture(scope="module")
def cubes():
    cubes = np.random.default_rng(0).normal(3, 2, (21, 12, 64, 64)).astype(np.float32)
    cubes[4, :, :20] = np.nan
    return cubes


@pytest.fixture(scope="module")
def encoder(cubes):
    return new_encoder(EncoderConfig(), *channel_statistics(cubes), seed=0)


def test_a_vector_does_not_depend_on_the_other_places(encoder, cubes):
    together = embed(encoder, cubes, device="cpu", batch_size=8)
    assert together.shape == (21, 1024)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for rows in ([4], [20, 4, 0], list(range(20, -1, -1))):
        assert np.array_equal(embed(encoder, cubes[rows], device="cpu", batch_size=8), together[rows])


def test_the_batch_size_changes_no_more_than_rounding(encoder, cubes):
    eight, three = (embed(encoder, cubes, device="cpu", batch_size=size) for size in (8, 3))
    np.testing.assert_allclose(eight, three, atol=1e-5)


def test_an_encoder_in_training_mode_is_used_in_eval_mode_and_left_as_it_was(encoder, cubes):
    wanted = embed(encoder.eval(), cubes[:5], device="cpu", batch_size=8)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert np.array_equal(embed(encoder.train(), cubes[:5], device="cpu", batch_size=8), wanted)
    assert encoder.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_no_places_and_progress(encoder, cubes):
    calls = []
    embed(encoder, cubes, device="cpu", batch_size=8, progress=lambda done, n: calls.append((done, n)))
    assert calls == [(8, 21), (16, 21), (21, 21)]
    assert embed(encoder, cubes[:0], device="cpu").shape == (0, 1024)


def test_random_weights_have_the_architecture_and_standardisation_but_know_their_data(encoder, cubes):
    trained = new_encoder(EncoderConfig(readout="tokens"), encoder.mean.numpy().ravel(), np.full(12, 2.0), seed=5)
    baseline = random_encoder(trained, cubes, seed=1, batch_size=21)
    assert baseline.config == trained.config
    assert torch.equal(baseline.mean, trained.mean)
    assert torch.equal(baseline.std, trained.std)
    assert not baseline.training
    first = baseline.conv[0]
    with torch.inference_mode():
        normed = first[1](first[0](baseline.standardise(torch.from_numpy(cubes))))
    assert normed.mean((0, 2, 3)).abs().max() < 1e-2
    assert (normed.std((0, 2, 3)) - 1).abs().max() < 1e-2
    again, other = (random_encoder(trained, cubes, seed=seed, batch_size=21) for seed in (1, 2))
    assert torch.equal(again.project.weight, baseline.project.weight)
    assert not torch.equal(other.project.weight, baseline.project.weight)


def test_random_weights_take_any_number_of_places_but_one(encoder, cubes):
    vectors = embed(random_encoder(encoder, cubes, batch_size=20), cubes, device="cpu", batch_size=8)
    assert np.isfinite(vectors).all()
    with pytest.raises(DataError, match="found 1"):
        random_encoder(encoder, cubes[:1])


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:99"])
def test_an_unknown_device_is_named(encoder, cubes, name):
    with pytest.raises(UsageError, match=name):
        embed(encoder, cubes, device=name)
