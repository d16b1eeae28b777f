"""Two random views of each place of a batch."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from sarpipe.channels import CHANNELS, N_DATES
from sarpipe.ssl.counter import Draw, normal_pairs, stream, uniform
from sarpipe.ssl.temporal import statistics_of_dates, statistics_of_some_dates
from sarpipe.ssl.view_settings import ViewSettings

_MEANS = slice(CHANNELS.index("mean_vv"), CHANNELS.index("mean_vh") + 1)
_DIFFERENCES = slice(CHANNELS.index("diff_vv"), CHANNELS.index("diff_vh") + 1)
_LOG_RATIO = math.log(4 / 3)
_SIDE_TO_CENTRE = 1 - 0.5**0.5
"""Taps beside and in the middle of a kernel that gives neighbours a correlation of 0.5, and those after them 0.07."""
_Rows = Tensor | slice
"""The places that something is done to: their positions, or all."""


def two_views(
    cubes: Tensor,
    frames: Tensor | None,
    keys: Tensor,
    settings: ViewSettings,
    *,
    seed: int,
    epoch: int | Tensor,
    dates: Tensor | None = None,
    fixed: bool = False,
) -> tuple[Tensor, Tensor]:
    """Draw two views of each place, on the device where the cubes are.

    Every draw is a function of (seed, epoch, place, view): the views of a place do not depend on the batch that
    it stands in. All channels of a view have the same geometry. A pixel that would take from one without data
    has none itself.

    Args:
        cubes: ``float [B, 12, 64, 64]``, NaN where there is no data.
        frames: ``float [B, 4, 4, 64, 64]``, for views of some of the dates; None: all views are of all dates.
        keys: ``int64 [B]``, `sarpipe.ssl.counter.place_keys` of the ids; on the device of the cubes, as all tensors.
        settings: How.
        seed: The run's.
        epoch: Which pass over the places; may be an ``int64 []``.
        dates: ``bool [B, 4]``, which dates a place has, at least one; None: all.
        fixed: Do all to all places, and keep what was drawn: no shape then depends on what was drawn, so a GPU is
            never waited for and the whole can be captured in a graph. Otherwise only what was drawn is done, which
            is sooner on a CPU. The views are the same up to rounding.

    Returns:
        Two times ``float32 [B, 12, 64, 64]``, in the units of the cubes, NaN where there is no data.
    """
    there = dates if dates is not None else torch.ones(len(keys), N_DATES, dtype=torch.bool, device=keys.device)

    def view(number: int) -> Tensor:
        def draws(draw: Draw) -> Tensor:
            return stream(keys, draw, seed=seed, epoch=epoch, view=number)

        x = cubes.to(torch.float32, copy=True)
        n_dates = there.sum(1)
        if frames is not None and settings.date_subset > 0:
            n_dates = _take_some_dates(x, frames, there, draws(Draw.DATES), settings, fixed=fixed)
        if settings.crop_min < 1 or settings.symmetry != "none":
            x = _geometry(x, draws(Draw.CROP), draws(Draw.SYMMETRY), settings)
        if settings.blur[number] > 0:
            _blur(x, draws(Draw.BLUR), settings.blur[number], fixed=fixed)
        if settings.speckle > 0 and settings.speckle_db > 0:
            _add_speckle(x, n_dates, draws(Draw.SPECKLE), draws(Draw.SPECKLE_PIXELS), settings, fixed=fixed)
        if settings.db_offset > 0:
            _add_offset(x, draws(Draw.OFFSET), settings)
        if settings.polarisation_drop > 0:
            _drop_polarisation(x, draws(Draw.POLARISATION), settings, fixed=fixed)
        return x

    return view(0), view(1)


def _rows(chosen: Tensor, *, fixed: bool) -> _Rows:
    """Where to work: at the places that were drawn (``bool [B]``), or, with fixed shapes, at all."""
    return slice(None) if fixed else chosen.nonzero()[:, 0]


def _take_some_dates(
    x: Tensor, frames: Tensor, dates: Tensor, streams: Tensor, settings: ViewSettings, *, fixed: bool
) -> Tensor:
    """Put the statistics of 2 or more of a place's dates in the place of the cube, which is of all of them.

    A place of one date or two has no such part: its view is the cube.

    Returns:
        Of how many dates each view is, ``int64 [B]``.
    """
    n_dates = dates.sum(1)
    numbers = uniform(streams, frames.shape[1] + 2)
    size = 2 + (numbers[:, 1] * (n_dates - 1)).long()
    # A view of all dates is the cube itself: its statistics may have been taken before the resampling.
    drawn = (numbers[:, 0] < settings.date_subset) & (size < n_dates)
    # The dates with the smallest numbers: every subset of a size is equally likely. Those that are not there come last.
    ranked = numbers[:, 2:].masked_fill(~dates, 1).argsort(1).argsort(1)
    chosen = ranked < size[:, None]
    if fixed:
        part = statistics_of_dates(frames, chosen)
        taken = drawn & _usable(part)
        x.copy_(torch.where(taken[:, None, None, None], part, x))
        return torch.where(taken, size, n_dates)
    rows = drawn.nonzero()[:, 0]
    part = statistics_of_some_dates(frames, rows, chosen)
    holed = ~part.flatten(1).sum(1).isfinite()
    if holed.any():
        usable = ~holed
        usable[holed] = _usable(part[holed])
        rows, part = rows[usable], part[usable]
    x[rows] = part
    return n_dates.index_copy(0, rows, size[rows])


def _usable(part: Tensor) -> Tensor:
    """Which are views, ``bool [B]``: dates that leave a channel without any data (two half-empty ones) make none."""
    return ~part.isnan().flatten(2).all(2).any(1)


def _geometry(x: Tensor, crop: Tensor, symmetry: Tensor, settings: ViewSettings) -> Tensor:
    """Crop, flip and turn in one resampling. Crops are only ever enlarged, so nothing is aliased."""
    area, ratio, across, down = uniform(crop, 4).unbind(1)
    area = settings.crop_min + (1 - settings.crop_min) * area
    # Sides of a ratio between 3:4 and 4:3, evenly in its logarithm; a side ends at the image's.
    shape = torch.exp((ratio - 0.5) * _LOG_RATIO)
    width = (area.sqrt() * shape).clamp_max(1) if settings.crop_min < 1 else torch.ones_like(area)
    height = (area.sqrt() / shape).clamp_max(1) if settings.crop_min < 1 else torch.ones_like(area)
    choice = uniform(symmetry, 3) < 0.5
    mirrored, upended, turned = choice.unbind(1)
    if settings.symmetry == "none":
        mirrored, upended = torch.zeros_like(mirrored), torch.zeros_like(upended)
    if settings.symmetry != "dihedral":
        turned = torch.zeros_like(turned)
    along_x = torch.where(mirrored, -width, width)
    along_y = torch.where(upended, -height, height)
    nothing = torch.zeros_like(width)
    centre_x, centre_y = (2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height)
    # Where each pixel of the view comes from: rows give x and y of the source, in -1..1.
    source_x = torch.stack(
        [torch.where(turned, nothing, along_x), torch.where(turned, along_x, nothing), centre_x], dim=1
    )
    source_y = torch.stack(
        [torch.where(turned, along_y, nothing), torch.where(turned, nothing, along_y), centre_y], dim=1
    )
    source = torch.stack([source_x, source_y], dim=1)
    grid = functional.affine_grid(source, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _blur(x: Tensor, streams: Tensor, probability: float, *, fixed: bool) -> None:
    """A 3 x 3 Gaussian of 0.3 to 1 px. As shifted sums: a convolution's fast algorithms would spread NaN further."""
    on, size = uniform(streams, 2).unbind(1)
    rows = _rows(on < probability, fixed=fixed)
    side = torch.exp(-0.5 / (0.3 + 0.7 * size[rows]).square())
    side = (side / (1 + 2 * side))[:, None, None, None]
    smooth = x[rows]
    for axis in (2, 3):
        length = x.shape[axis]
        padded = torch.cat([smooth.narrow(axis, 0, 1), smooth, smooth.narrow(axis, length - 1, 1)], axis)
        both = padded.narrow(axis, 0, length) + padded.narrow(axis, 2, length)
        smooth = smooth * (1 - 2 * side) + both.mul_(side)
    x[rows] = torch.where((on < probability)[:, None, None, None], smooth, x) if fixed else smooth


def _add_speckle(
    x: Tensor, n_dates: Tensor, streams: Tensor, pixel_streams: Tensor, settings: ViewSettings, *, fixed: bool
) -> None:
    """Noise of sigma dB on each of ``n_dates [B]`` dates, as it shows in the mean and in the difference, which are
    independent.

    At 64 px so many looks are averaged that multiplicative gamma speckle is normal in dB; filter and resampling leave
    neighbours a correlation of 0.50, and those after them one of 0.06 (`tests/ssl/test_speckle.py`).
    """
    on, strength = uniform(streams, 2).unbind(1)
    chosen = on < settings.speckle
    rows = _rows(chosen, fixed=fixed)
    sigma = (chosen * strength * settings.speckle_db)[rows][:, None, None, None]
    n_dates = n_dates[rows][:, None, None, None]
    in_mean, in_difference = normal_pairs(pixel_streams[rows], 2 * x.shape[2] * x.shape[3])
    shape = (len(sigma), 2, *x.shape[2:])
    x[rows, _MEANS] += _correlated(in_mean.view(shape)) * (sigma / n_dates**0.5)
    x[rows, _DIFFERENCES] += _correlated(in_difference.view(shape)) * (sigma * 2**0.5)


def _correlated(noise: Tensor) -> Tensor:
    """White noise ``[B, C, H, W]`` so that neighbours resemble each other, of the same variance; edges are joined."""
    centre = (1 + 2 * _SIDE_TO_CENTRE**2) ** -0.5
    for axis in (2, 3):
        beside = noise.roll(1, axis).add_(noise.roll(-1, axis))
        noise = (noise * centre).add_(beside, alpha=centre * _SIDE_TO_CENTRE)
    return noise


def _add_offset(x: Tensor, streams: Tensor, settings: ViewSettings) -> None:
    """Shift the mean level of VV and of VH; deviation and difference over time do not know of it."""
    shift = (2 * uniform(streams, 2) - 1) * settings.db_offset
    x[:, _MEANS] += shift[:, :, None, None]


def _drop_polarisation(x: Tensor, streams: Tensor, settings: ViewSettings, *, fixed: bool) -> None:
    """Leave out everything that comes from VV, or everything from VH; never both."""
    on, which = uniform(streams, 2).unbind(1)
    dropped = (on < settings.polarisation_drop)[:, None] & ((which < 0.5)[:, None] == _from_vh(x.device))
    if fixed:
        x.masked_fill_(dropped[:, :, None, None], torch.nan)
    else:
        x[dropped.nonzero(as_tuple=True)] = torch.nan


@cache
def _from_vh(device: torch.device) -> Tensor:
    return torch.tensor([name.endswith("_vh") for name in CHANNELS], device=device)
