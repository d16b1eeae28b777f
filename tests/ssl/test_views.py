from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from sarpipe.channels import CHANNELS
from sarpipe.preprocess.temporal import statistics
from sarpipe.ssl.counter import place_keys
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.ssl.views import two_views

N = 24
OFF = {
    "date_subset": 0,
    "crop_min": 1,
    "symmetry": "none",
    "blur": (0, 0),
    "speckle": 0,
    "db_offset": 0,
    "polarisation_drop": 0,
}
FROM_VH = torch.tensor([name.endswith("_vh") for name in CHANNELS])


def views(cubes, frames=None, *, seed=0, epoch=0, rows=slice(None), dates=None, fixed=False, **changes):
    keys = place_keys([str(i) for i in range(N)])[: len(cubes)]
    picked = None if frames is None else frames[rows]
    settings = ViewSettings(**{**OFF, **changes})
    return two_views(cubes[rows], picked, keys[rows], settings, seed=seed, epoch=epoch, dates=dates, fixed=fixed)


@pytest.fixture(scope="module")
def frames():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(N, 4, 4, 64, 64)).astype(np.float16))


@pytest.fixture(scope="module")
def cubes(frames):
    return torch.from_numpy(statistics(frames.numpy()))


def test_with_everything_off_the_views_are_the_cube(cubes):
    before = cubes.clone()
    for view in views(cubes):
        assert torch.equal(view, cubes)
    assert torch.equal(cubes, before)


def test_views_are_a_function_of_seed_epoch_and_place_and_not_of_the_batch(cubes, frames):
    settings = ViewSettings().model_dump()
    together = views(cubes, frames, **settings)
    rows = [5, 2, 11]
    apart = views(cubes, frames, rows=rows, **settings)
    for whole, part in zip(together, apart, strict=True):
        assert torch.equal(whole[rows].nan_to_num(), part.nan_to_num())
    others = (views(cubes, frames, epoch=1, **settings), views(cubes, frames, seed=1, **settings), together[::-1])
    for other in others:
        differs = (other[0].nan_to_num() != together[0].nan_to_num()).flatten(1).any(1)
        assert differs.all()


def test_views_are_the_same_with_fixed_shapes(cubes, frames):
    holed = frames.clone()
    holed[::3, 1, :, :20] = torch.nan
    holed[1, 2:] = torch.nan
    dates = torch.ones(N, 4, dtype=torch.bool)
    dates[1, 2:] = False
    of_holed = torch.from_numpy(statistics(holed.numpy()))
    settings = ViewSettings().model_dump()
    for epoch in range(3):
        as_drawn, fixed, counted = (
            views(of_holed, holed, dates=dates, fixed=fixed, epoch=number, **settings)
            for fixed, number in ((False, epoch), (True, epoch), (True, torch.tensor(epoch)))
        )
        for view, same, again in zip(as_drawn, fixed, counted, strict=True):
            torch.testing.assert_close(view, same, atol=1e-4, rtol=0, equal_nan=True)
            assert torch.equal(same.nan_to_num(), again.nan_to_num())


def test_fixed_shapes_need_no_number_that_was_drawn(cubes, frames):
    # A tensor without values knows shapes alone: whatever looked at a value would fail.
    meta = torch.device("meta")
    keys = torch.empty(N, dtype=torch.int64, device=meta)
    for view in two_views(
        cubes.to(meta),
        frames.to(meta),
        keys,
        ViewSettings(),
        seed=0,
        epoch=torch.empty((), device=meta).long(),
        fixed=True,
    ):
        assert view.shape == cubes.shape


def test_the_inputs_are_left_as_they_are(cubes, frames):
    before = cubes.clone(), frames.clone()
    views(cubes, frames, **ViewSettings().model_dump())
    assert torch.equal(cubes, before[0])
    assert torch.equal(frames, before[1])


def test_every_channel_of_a_view_has_the_same_geometry():
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    image = 100 * row + column
    cubes = image.expand(N, 12, 64, 64) + torch.arange(12.0)[:, None, None]
    for view in views(cubes, crop_min=0.2, symmetry="dihedral"):
        level = view - torch.arange(12.0)[:, None, None]
        torch.testing.assert_close(level, level[:, :1].expand_as(level), atol=2e-3, rtol=0)


def test_the_eight_symmetries_are_exact_and_all_occur():
    rng = np.random.default_rng(1)
    cubes = torch.from_numpy(rng.normal(size=(1, 12, 64, 64)).astype(np.float32))
    wanted = [np.rot90(part, k, (2, 3)) for part in (cubes.numpy(), cubes.numpy()[..., ::-1]) for k in range(4)]
    seen = set()
    for epoch in range(40):
        for view in views(cubes, epoch=epoch, symmetry="dihedral"):
            errors = [np.abs(view.numpy() - candidate).max() for candidate in wanted]
            assert min(errors) < 1e-3
            seen.add(int(np.argmin(errors)))
    assert seen == set(range(8))


def test_crops_keep_between_the_least_share_and_all_of_the_area():
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    cubes = torch.stack([row, column]).repeat(6, 1, 1).expand(N, 12, 64, 64)
    for view in views(cubes, crop_min=0.3):
        sides = (view[:, :2].flatten(2).amax(2) - view[:, :2].flatten(2).amin(2)) / 63
        area = sides.prod(1)
        assert area.min() > 0.3 * 0.85
        assert area.max() <= 1
        assert area.std() > 0.1


def test_some_dates_give_the_statistics_of_some_two_to_four_dates(cubes, frames):
    subsets = [[d for d in range(4) if bits >> d & 1] for bits in range(16) if bin(bits).count("1") >= 2]
    candidates = torch.stack([torch.from_numpy(statistics(frames[:, dates].numpy())) for dates in subsets])
    seen = set()
    for view in views(cubes, frames, date_subset=1):
        errors = (candidates - view).abs().flatten(2).amax(2)
        assert errors.amin(0).max() < 1e-4
        seen |= {len(subsets[i]) for i in errors.argmin(0)}
    assert seen == {2, 3, 4}


@pytest.mark.parametrize("there", [[0], [2], [0, 1], [1, 3], [0, 1, 2], [0, 2, 3]])
def test_views_of_some_dates_are_of_dates_that_are_there(frames, there):
    missing = [d for d in range(4) if d not in there]
    fewer = frames.clone()
    fewer[:, missing] = torch.nan
    cubes = torch.from_numpy(statistics(fewer.numpy()))
    dates = torch.zeros(N, 4, dtype=torch.bool)
    dates[:, there] = True
    subsets = [list(pair) for pair in itertools.combinations(there, 2)] + ([there] if len(there) != 2 else [])
    candidates = torch.stack([torch.from_numpy(statistics(frames[:, some].numpy())) for some in subsets])
    seen = set()
    for view in views(cubes, fewer, dates=dates, date_subset=1):
        assert view[:, :4].isfinite().all()
        assert view[:, 4:].isfinite().all() == (len(there) > 1)
        errors = (candidates - view).abs().nan_to_num().flatten(2).amax(2)
        assert errors.amin(0).max() < 1e-4
        seen |= set(errors.argmin(0).tolist())
    # Every subset is drawn; of the two views of 24 places that is sure but for one in a million.
    assert seen == set(range(len(subsets)))


def test_places_with_all_dates_do_not_depend_on_those_with_fewer(cubes, frames):
    dates = torch.ones(N, 4, dtype=torch.bool)
    settings = ViewSettings().model_dump()
    alone = views(cubes, frames, **settings)
    dates[::2, 1:] = False
    for view, before in zip(views(cubes, frames, dates=dates, **settings), alone, strict=True):
        assert torch.equal(view[1::2].nan_to_num(), before[1::2].nan_to_num())


def test_speckle_of_fewer_dates_is_averaged_over_fewer(cubes):
    dates = torch.zeros(N, 4, dtype=torch.bool)
    dates[:, 2] = True
    one, four = (views(cubes, dates=d, speckle=1, speckle_db=0.5)[0] - cubes for d in (dates, None))
    torch.testing.assert_close(one[:, :2], 2 * four[:, :2], atol=1e-4, rtol=0)


def test_dates_that_leave_a_channel_empty_make_no_view(cubes, frames):
    half = frames.clone()
    half[:, 1:] = torch.nan
    whole = torch.zeros_like(cubes)
    for view in views(whole, half, date_subset=1):
        assert torch.equal(view, whole)


def test_an_offset_changes_the_mean_level_of_each_polarisation_and_nothing_else(cubes):
    first, second = views(cubes, db_offset=1.0)
    for view in (first, second):
        change = view - cubes
        shift = change[:, :2].mean((2, 3))
        torch.testing.assert_close(change[:, :2], shift[:, :, None, None].expand(N, 2, 64, 64), atol=1e-5, rtol=0)
        assert shift.abs().max() <= 1
        assert shift.abs().max() > 0.7
        assert not torch.allclose(shift[:, 0], shift[:, 1], atol=0.05)
        assert not change[:, 2:].any()


def test_one_polarisation_is_left_out_whole_and_never_both(cubes):
    dropped = torch.cat([view.isnan().flatten(2).all(2) for view in views(cubes, polarisation_drop=1)])
    partly = torch.cat([view.isnan().flatten(2).any(2) for view in views(cubes, polarisation_drop=1)])
    assert torch.equal(dropped, partly)
    kinds = {tuple(row) for row in dropped.tolist()}
    assert kinds == {tuple(FROM_VH.tolist()), tuple((~FROM_VH).tolist())}


def test_speckle_is_weak_and_stands_in_means_and_differences_of_backscatter(cubes):
    for view in views(cubes, speckle=1, speckle_db=0.5):
        change = (view - cubes).flatten(2)
        touched = [CHANNELS[i] for i in change.any(2).all(0).nonzero()[:, 0]]
        assert touched == ["mean_vv", "mean_vh", "diff_vv", "diff_vh"]
        in_mean, in_difference = change[:, 0].std(1), change[:, 8].std(1)
        assert in_mean.max() < 0.26
        torch.testing.assert_close(in_difference / in_mean, torch.full((N,), 8**0.5), atol=0.15, rtol=0)


def test_a_blur_smooths_some_places_and_keeps_their_mean(cubes):
    first, second = views(cubes, blur=(1, 0))
    assert torch.equal(second, cubes)
    assert (first.flatten(2).std(2) < cubes.flatten(2).std(2)).all()
    torch.testing.assert_close(first.mean((2, 3)), cubes.mean((2, 3)), atol=0.01, rtol=0)
    assert 0 < (views(cubes, blur=(0.5, 0))[0] != cubes).flatten(1).any(1).sum() < N


def test_pixels_without_data_reach_no_further_than_the_pixels_beside_them(cubes):
    holed = cubes.clone()
    holed[:, :, 20:30, 40:50] = torch.nan
    for view in views(holed, blur=(1, 1)):
        assert view[:, :, 20:30, 40:50].isnan().all()
        missing = view.isnan()
        missing[:, :, 19:31, 39:51] = False
        assert not missing.any()
    for view in views(holed, crop_min=0.2, symmetry="dihedral", blur=(1, 1)):
        # 10 x 10 of 4096 pixels, with a rim of two, enlarged at most 5 times in area.
        assert view.isnan().flatten(2).float().mean(2).max() < 5 * 14 * 14 / 4096
