from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sarpipe.errors import DamagedError
from sarpipe.model import EncoderConfig, load_encoder, new_encoder, save_encoder


@pytest.fixture
def saved(tmp_path):
    encoder = new_encoder(EncoderConfig(readout="tokens"), np.arange(12), np.arange(1, 13), seed=3).eval()
    save_encoder(tmp_path, encoder)
    return tmp_path, encoder


def test_a_loaded_encoder_embeds_bit_for_bit_like_the_saved_one(saved):
    folder, encoder = saved
    loaded = load_encoder(folder)
    x = torch.randn(3, 12, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not loaded.training
    assert loaded.config == encoder.config
    assert torch.equal(loaded(x), encoder(x))
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "encoder.safetensors"]


def test_weights_that_do_not_fit_are_refused_by_name(saved):
    folder, _ = saved
    path = folder / "encoder.safetensors"
    whole = load_file(path)
    changes = {
        "readout.bias is missing": {name: tensor for name, tensor in whole.items() if name != "readout.bias"},
        "extra is not known": {**whole, "extra": torch.zeros(1)},
        "readout.bias is torch.float32 [3]": {**whole, "readout.bias": torch.zeros(3)},
        "readout.bias is torch.float16 [1024]": {**whole, "readout.bias": torch.zeros(1024).half()},
        "readout.bias holds numbers that are not finite": {**whole, "readout.bias": torch.full((1024,), torch.nan)},
    }
    for message, tensors in changes.items():
        save_file(tensors, path)
        with pytest.raises(DamagedError, match=message.replace("[", r"\[").replace("]", r"\]")):
            load_encoder(folder)


@pytest.mark.parametrize("name", ["encoder.safetensors", "encoder.json"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:40])])
def test_a_missing_or_truncated_file_is_refused_by_name(saved, name, damage):
    damage(saved[0] / name)
    with pytest.raises(DamagedError, match=name):
        load_encoder(saved[0])


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"channels": ["vv"]}, {"config": {"readout": "none"}}, {"config": 3}, {"config": {"new": 1}}],
)
def test_a_config_of_another_format_is_refused(saved, change):
    path = saved[0] / "encoder.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DamagedError, match=r"encoder\.json"):
        load_encoder(saved[0])
