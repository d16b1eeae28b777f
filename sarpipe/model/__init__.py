"""The encoder and its projection head."""

from sarpipe.model.encoder import Encoder, EncoderConfig, channel_statistics
from sarpipe.model.extract import embed
from sarpipe.model.initial import new_encoder, random_encoder
from sarpipe.model.weights import load_encoder, save_encoder

__all__ = [
    "Encoder",
    "EncoderConfig",
    "channel_statistics",
    "embed",
    "load_encoder",
    "new_encoder",
    "random_encoder",
    "save_encoder",
]
