"""Two random views of each place of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sarpipe.channels import CHANNELS
from sarpipe.ssl.counter import Draw, normal_pairs, stream, uniform
from sarpipe.ssl.temporal import statistics_of_dates
from sarpipe.ssl.view_settings import ViewSettings

_MEANS = [CHANNELS.index(name) for name in ("mean_vv", "mean_vh")]
_DIFFERENCES = [CHANNELS.index(name) for name in ("diff_vv", "diff_vh")]
_FROM_VH = [name.endswith("_vh") for name in CHANNELS]


def two_views(
    cubes: Tensor, frames: Tensor | None, keys: Tensor, settings: ViewSettings, *, seed: int, epoch: int
) -> tuple[Tensor, Tensor]:
    """Draw two views of each place, on the device where the batch is.

    Every draw is a function of (seed, epoch, place, view): the views of a place do not depend on the batch that
    it stands in. All channels of a view have the same geometry. A pixel that would take from one without data
    has none itself.

    Args:
        cubes: ``float [B, 12, 64, 64]``, NaN where there is no data.
        frames: ``float [B, 4, 4, 64, 64]``, for views of some of the dates; None: all views are of all dates.
        keys: ``int64 [B]``, `sarpipe.ssl.counter.place_keys` of the ids.
        settings: How.
        seed: The run's.
        epoch: Which pass over the places.

    Returns:
        Two times ``float32 [B, 12, 64, 64]``, in the units of the cubes, NaN where there is no data.
    """

    def view(number: int) -> Tensor:
        def draws(draw: Draw) -> Tensor:
            return stream(keys, draw, seed=seed, epoch=epoch, view=number)

        x = _some_dates(cubes, frames, draws(Draw.DATES), settings)
        x = _geometry(x, draws(Draw.CROP), draws(Draw.SYMMETRY), settings)
        x = _blurred(x, draws(Draw.BLUR), settings.blur[number])
        x = _speckled(x, draws(Draw.SPECKLE), draws(Draw.SPECKLE_PIXELS), settings)
        x = _offset(x, draws(Draw.OFFSET), settings)
        return _one_polarisation(x, draws(Draw.POLARISATION), settings)

    return view(0), view(1)


def _some_dates(cubes: Tensor, frames: Tensor | None, streams: Tensor, settings: ViewSettings) -> Tensor:
    """A new ``float32`` tensor: the cubes, or where the draw says so the statistics of 2 to 4 of the dates."""
    whole = cubes.to(torch.float32, copy=True)
    if frames is None or settings.date_subset == 0:
        return whole
    n_dates = frames.shape[1]
    numbers = uniform(streams, n_dates + 2)
    size = 2 + (numbers[:, 1] * (n_dates - 1)).long()
    # The dates with the smallest numbers: every subset of a size is equally likely.
    dates = numbers[:, 2:].argsort(1).argsort(1) < size[:, None]
    part = statistics_of_dates(frames, dates)
    # Dates that leave a channel without any data (two half-empty ones) make no view.
    usable = torch.isfinite(part).flatten(2).any(2).all(1)
    take = (numbers[:, 0] < settings.date_subset) & ~dates.all(1) & usable
    return torch.where(take[:, None, None, None], part, whole)


def _geometry(x: Tensor, crop: Tensor, symmetry: Tensor, settings: ViewSettings) -> Tensor:
    """Crop, flip and turn in one resampling. Crops are only ever enlarged, so nothing is aliased."""
    if settings.crop_min == 1 and settings.symmetry == "none":
        return x
    area, ratio, across, down = uniform(crop, 4).unbind(1)
    area = settings.crop_min + (1 - settings.crop_min) * area
    # Sides of a ratio between 3:4 and 4:3, evenly in its logarithm; a side ends at the image's.
    shape = torch.exp((ratio - 0.5) * torch.log(torch.tensor(4 / 3)).item())
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
    grid = functional.affine_grid(torch.stack([source_x, source_y], dim=1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _blurred(x: Tensor, streams: Tensor, probability: float) -> Tensor:
    """A 3 x 3 Gaussian of 0.3 to 1 px. As shifted sums: a convolution's fast algorithms would spread NaN further."""
    if probability == 0:
        return x
    on, size = uniform(streams, 2).unbind(1)
    sigma = 0.3 + 0.7 * size
    side = torch.exp(-0.5 / sigma.square())
    side = torch.where(on < probability, side / (1 + 2 * side), 0)[:, None, None, None]
    for axis in (2, 3):
        padded = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, x.shape[axis] - 1, 1)], axis)
        both = padded.narrow(axis, 0, x.shape[axis]) + padded.narrow(axis, 2, x.shape[axis])
        # A place that is not blurred keeps its pixels beside those without data.
        x = torch.where(side > 0, x * (1 - 2 * side) + both * side, x)
    return x


def _speckled(x: Tensor, streams: Tensor, pixel_streams: Tensor, settings: ViewSettings) -> Tensor:
    """Noise of sigma dB on each date, as it shows in the mean and in the difference (which are independent).

    At 64 px so many looks are averaged that multiplicative gamma speckle is normal in dB. In place.
    """
    if settings.speckle == 0 or settings.speckle_db == 0:
        return x
    on, strength = uniform(streams, 2).unbind(1)
    sigma = torch.where(on < settings.speckle, strength * settings.speckle_db, 0)[:, None, None, None]
    height, width = x.shape[2:]
    first, second = normal_pairs(pixel_streams, len(_MEANS) * height * width)
    shape = (len(x), len(_MEANS), height, width)
    x[:, _MEANS] += first.view(shape) * (sigma / 2)
    x[:, _DIFFERENCES] += second.view(shape) * (sigma * 2**0.5)
    return x


def _offset(x: Tensor, streams: Tensor, settings: ViewSettings) -> Tensor:
    """Shift the mean level of VV and of VH; deviation and difference over time do not know of it. In place."""
    if settings.db_offset > 0:
        x[:, _MEANS] += ((2 * uniform(streams, 2) - 1) * settings.db_offset)[:, :, None, None]
    return x


def _one_polarisation(x: Tensor, streams: Tensor, settings: ViewSettings) -> Tensor:
    """Leave out everything that comes from VV, or everything from VH; never both. In place."""
    if settings.polarisation_drop == 0:
        return x
    on, which = uniform(streams, 2).unbind(1)
    from_vh = torch.tensor(_FROM_VH, device=x.device)
    dropped = (on < settings.polarisation_drop)[:, None] & (from_vh == (which < 0.5)[:, None])
    return x.masked_fill_(dropped[:, :, None, None], torch.nan)
