"""Random numbers without a generator: each is a function of what it is drawn for.

A draw depends on (seed, epoch, place, view, purpose) and on nothing that was drawn before, so a run that is
resumed needs to know its step and no more, and a place is augmented alike whatever stands beside it.
The function is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), in the wrapping ``int64`` that
torch has on every device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor


class Draw(IntEnum):
    """What a number is drawn for: each purpose has a stream of its own."""

    ORDER = 0
    DATES = 1
    CROP = 2
    SYMMETRY = 3
    BLUR = 4
    SPECKLE = 5
    SPECKLE_PIXELS = 6
    OFFSET = 7
    POLARISATION = 8


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def place_keys(ids: Sequence[str]) -> Tensor:
    """64 bits of the hash of each place id: ``int64 [N]``, on the CPU."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ids)
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def stream(keys: Tensor, draw: Draw, *, seed: int, epoch: int | Tensor, view: int = 0) -> Tensor:
    """The start of one stream of numbers for each place.

    Args:
        keys: ``int64 [N]`` of `place_keys`.
        draw: What for.
        seed: 0 or more, as are ``epoch`` and ``view``.
        epoch: Which pass over the places; may be an ``int64 []`` on the device of the keys.
        view: Which of a place's views.

    Returns:
        ``int64 [N]``, all 64 bits well mixed.
    """
    mixed = keys
    for value in (seed, epoch, view, int(draw)):
        mixed = _mix((mixed ^ value) + _GOLDEN)
    return mixed


def bits(streams: Tensor, count: int) -> Tensor:
    """The first ``count`` numbers of each stream: ``int64 [N, count]``, all 64 bits random."""
    position = torch.arange(1, count + 1, dtype=torch.int64, device=streams.device)
    return _mix(streams[:, None] + position * _GOLDEN)


def uniform(streams: Tensor, count: int) -> Tensor:
    """The first ``count`` numbers of each stream, uniform in [0, 1): ``float32 [N, count]``."""
    return _shifted(bits(streams, count), 40).float() * 2.0**-24


def normal_pairs(streams: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Two independent standard normal numbers from each number of a stream (Box and Muller): ``float32 [N, count]``.

    Their tails end at 5.8: the radius comes from 24 bits.
    """
    words = bits(streams, count)
    radius = _shifted(words, 40).float().add_(1).mul_(2.0**-24).log_().mul_(-2).sqrt_()
    angle = (words & 0xFFFFFF).float().mul_(2 * torch.pi * 2.0**-24)
    return radius * angle.cos(), radius * angle.sin()


def epoch_order(keys: Tensor, *, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits the places: ``int64 [N]`` positions in ``keys``."""
    return stream(keys, Draw.ORDER, seed=seed, epoch=epoch).argsort(stable=True)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)).mul_(_FIRST)
    x = x.bitwise_xor_(_shifted(x, 27)).mul_(_SECOND)
    return x.bitwise_xor_(_shifted(x, 31))


def _shifted(x: Tensor, by: int) -> Tensor:
    """A logical shift to the right; torch's own carries the sign along."""
    return (x >> by).bitwise_and_((1 << (64 - by)) - 1)
