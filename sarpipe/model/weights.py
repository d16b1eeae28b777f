"""An encoder on disk: weights as safetensors, the rest as JSON. Loading runs no code from the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sarpipe.channels import CHANNELS
from sarpipe.errors import DamagedError
from sarpipe.model.encoder import Encoder, EncoderConfig

WEIGHTS = "encoder.safetensors"
CONFIG = "encoder.json"
FORMAT = 1
_AGAIN = "Run `sarpipe train` again: it makes this anew"


def save_encoder(folder: Path, encoder: Encoder) -> None:
    """Write ``encoder.safetensors`` and ``encoder.json`` into a folder that exists."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    document = {"format": FORMAT, "channels": list(CHANNELS), "config": encoder.config}
    (folder / CONFIG).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_encoder(folder: Path) -> Encoder:
    """Read what `save_encoder` wrote: in eval mode, on the CPU.

    Raises:
        DamagedError: A file is missing or unreadable, of another format, or the weights are not exactly those of
            this architecture, all finite.
    """
    encoder = Encoder(_config(folder / CONFIG), np.zeros(len(CHANNELS)), np.ones(len(CHANNELS)))
    encoder.load_state_dict(_weights(folder / WEIGHTS, encoder.state_dict()))
    return encoder.eval()


def _config(path: Path) -> EncoderConfig:
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT or document["channels"] != list(CHANNELS):
            raise DamagedError(f"{path} is of another format or of other channels than {', '.join(CHANNELS)}", _AGAIN)
        return EncoderConfig.model_validate(document["config"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise DamagedError(f"{path} cannot be read: {type(error).__name__}", _AGAIN) from error


def _weights(path: Path, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DamagedError(f"{path} cannot be read: {type(error).__name__}", _AGAIN) from error
    for name in sorted(wanted.keys() ^ found.keys()):
        raise DamagedError(f"{path}: tensor {name} {'is missing' if name in wanted else 'is not known'}", _AGAIN)
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise DamagedError(
                f"{path}: tensor {name} is {tensor.dtype} {list(tensor.shape)}, "
                f"needs {wanted[name].dtype} {list(wanted[name].shape)}",
                _AGAIN,
            )
        if not torch.isfinite(tensor).all():
            raise DamagedError(f"{path}: tensor {name} holds numbers that are not finite", _AGAIN)
    return found
