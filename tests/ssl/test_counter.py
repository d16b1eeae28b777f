from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.ssl.counter import Draw, bits, epoch_order, normal_pairs, place_keys, stream, uniform


def test_the_hash_is_splitmix64():
    # The reference generator of Vigna (prng.di.unimi.it/splitmix64.c) with seed 1234567.
    wanted = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    found = bits(torch.tensor([1234567]), 4)[0].numpy().view(np.uint64)
    assert found.tolist() == wanted


@given(st.integers(0, 2**31 - 1), st.integers(0, 10_000), st.integers(0, 1))
def test_a_draw_depends_on_its_place_alone_and_not_on_the_batch(seed, epoch, view):
    keys = place_keys([f"place {i}" for i in range(7)])
    together = uniform(stream(keys, Draw.CROP, seed=seed, epoch=epoch, view=view), 5)
    alone = uniform(stream(keys[3:4], Draw.CROP, seed=seed, epoch=epoch, view=view), 5)
    assert torch.equal(together[3:4], alone)


def test_changing_any_of_what_a_draw_is_for_changes_it():
    keys = place_keys(["a", "b"])
    base = {"draw": Draw.CROP, "seed": 1, "epoch": 2, "view": 0}
    changes = [{}, {"draw": Draw.BLUR}, {"seed": 2}, {"epoch": 1}, {"view": 1}, {"seed": 2, "epoch": 1}]
    streams = torch.cat([stream(keys, **{**base, **change}) for change in changes])
    assert len(set(streams.tolist())) == 2 * len(changes)


def test_uniform_numbers_fill_their_range_and_do_not_follow_each_other():
    numbers = uniform(stream(place_keys([str(i) for i in range(20_000)]), Draw.CROP, seed=0, epoch=0), 4).double()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = torch.histc(numbers, 20, 0, 1)
    assert (counts / counts.mean() - 1).abs().max() < 0.06
    assert (torch.corrcoef(numbers.T) - torch.eye(4)).abs().max() < 0.03


def test_normal_pairs_are_standard_normal_and_independent():
    first, second = normal_pairs(torch.tensor([5, 6]), 50_000)
    both = torch.stack([first.flatten(), second.flatten()])
    assert torch.isfinite(both).all()
    assert (both.mean(1).abs() < 0.02).all()
    assert ((both.std(1) - 1).abs() < 0.02).all()
    assert torch.corrcoef(both)[0, 1].abs() < 0.02
    assert abs((both.abs() > 1.96).float().mean() - 0.05) < 0.005


def test_each_epoch_has_its_own_order_of_all_places():
    keys = place_keys([str(i) for i in range(50)])
    orders = [epoch_order(keys, seed=3, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[1], epoch_order(keys, seed=3, epoch=1))


def test_the_order_of_places_follows_their_ids_not_where_they_stand():
    names = [str(i) for i in range(20)]
    forward = [names[i] for i in epoch_order(place_keys(names), seed=0, epoch=4)]
    backward = [names[::-1][i] for i in epoch_order(place_keys(names[::-1]), seed=0, epoch=4)]
    assert forward == backward
