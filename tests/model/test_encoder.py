from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sarpipe.model import Encoder, EncoderConfig, channel_statistics, new_encoder

CONFIGS = [EncoderConfig(), EncoderConfig(readout="tokens", positions=False, dropout=0.1)]


@pytest.fixture(scope="module")
def cubes():
    rng = np.random.default_rng(0)
    scale = np.array([5, 5, 50, 200] * 3)[:, None, None]
    return (rng.normal(size=(6, 12, 64, 64)) * scale - 10).astype(np.float32)


def encoder_for(cubes, config=CONFIGS[0], seed=0):
    return new_encoder(config, *channel_statistics(cubes), seed=seed).eval()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_place_becomes_1024_finite_numbers_even_without_data(cubes, config):
    holed = torch.from_numpy(cubes).clone()
    holed[0, :, :30] = torch.nan
    holed[1] = torch.nan
    vectors = encoder_for(cubes, config)(holed)
    assert vectors.shape == (6, 1024)
    assert torch.isfinite(vectors).all()


def test_standardised_channels_have_mean_0_deviation_1_and_end_at_5_deviations(cubes):
    encoder = encoder_for(cubes)
    scaled = encoder.standardise(torch.from_numpy(cubes))
    assert scaled.mean((0, 2, 3)).abs().max() < 1e-3
    assert (scaled.std((0, 2, 3)) - 1).abs().max() < 1e-3
    far = torch.from_numpy(cubes).clone()
    far[0, 0, 0, 0], far[0, 0, 0, 1], far[0, 0, 0, 2] = 1e6, -1e6, torch.nan
    assert encoder.standardise(far)[0, 0, 0, :3].tolist() == [5, -5, 0]


def test_standardisation_leaves_the_cubes_as_they_are(cubes):
    given = torch.from_numpy(cubes.copy())
    encoder_for(cubes)(given)
    assert np.array_equal(given.numpy(), cubes)


def test_statistics_are_over_pixels_with_data_and_a_constant_channel_keeps_its_scale(cubes):
    holed = cubes.copy()
    holed[:, :, :, :32] = np.nan
    holed[:, 3], holed[:, 4] = 7.0, np.nan
    mean, std = channel_statistics(holed)
    np.testing.assert_allclose(mean[0], cubes[:, 0, :, 32:].mean(dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(std[0], cubes[:, 0, :, 32:].std(dtype=np.float64), rtol=1e-6)
    assert (mean[3], std[3], mean[4], std[4]) == (7, 1, 0, 1)


def test_the_wide_readout_opens_more_than_the_128_dimensions_of_the_original():
    x = torch.randn(200, 12, 64, 64, generator=torch.Generator().manual_seed(0))
    x = x * torch.linspace(0.2, 2, 200)[:, None, None, None]
    ranks = []
    for config in CONFIGS:
        encoder = new_encoder(config, np.zeros(12), np.ones(12), seed=0).eval()
        with torch.inference_mode():
            vectors = encoder(x).double()
        singular = torch.linalg.svdvals(vectors - vectors.mean(0))
        ranks.append(int((singular > 1e-5 * singular[0]).sum()))
    assert ranks[1] <= 128
    assert ranks[0] == 199


def test_the_wide_readout_is_the_mean_token_beside_both_moments_of_three_stages(cubes):
    encoder = encoder_for(cubes)
    encoder.readout = torch.nn.Identity()
    features = encoder.standardise(torch.from_numpy(cubes))
    with torch.inference_mode():
        found = encoder(torch.from_numpy(cubes))
        start = 0
        for stage in encoder.conv[:3]:
            features = stage(features)
            for moment in (features.mean((2, 3)), features.std((2, 3))):
                part = found[:, start : start + moment.shape[1]]
                torch.testing.assert_close(part, moment, atol=1e-5, rtol=1e-4)
                start += moment.shape[1]
        tokens = encoder.project(encoder.conv[3](features).flatten(2).transpose(1, 2)) + encoder.positions
        torch.testing.assert_close(found[:, start:], encoder.transformer(tokens).mean(1), atol=1e-5, rtol=1e-4)


def test_channels_that_are_dead_everywhere_have_finite_gradients(cubes):
    encoder = encoder_for(cubes).train()
    with torch.no_grad():
        encoder.conv[0][1].bias.fill_(-100)
    encoder(torch.from_numpy(cubes)).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("positions", [True, False])
def test_tokens_know_their_place_only_where_asked(positions):
    config = EncoderConfig(readout="tokens", positions=positions)
    encoder = new_encoder(config, np.zeros(12), np.ones(12), seed=0).eval()
    features = torch.randn(2, 512, 4, 4, generator=torch.Generator().manual_seed(0))
    encoder.conv = torch.nn.Sequential()
    encoder.standardise = lambda given: given
    with torch.inference_mode():
        assert torch.allclose(encoder(features), encoder(features.flip(2, 3)), atol=1e-5) is not positions


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_generator_alone(cubes):
    before = torch.get_rng_state()
    first, again, other = (encoder_for(cubes, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["project.weight"], other["project.weight"])


def test_the_config_survives_json(cubes):
    encoder = encoder_for(cubes, CONFIGS[1])
    config = EncoderConfig(**json.loads(json.dumps(encoder.config)))
    Encoder(config, np.zeros(12), np.ones(12)).load_state_dict(encoder.state_dict())
