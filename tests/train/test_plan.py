from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.train import TrainSettings
from sarpipe.train.plan import Plan

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@given(st.integers(2, 5000), st.one_of(st.none(), st.integers(2, 2000)), st.integers(1, 300))
def test_batches_fit_the_places_and_the_rate_stays_in_its_range(places, batch_size, epochs):
    plan = Plan.of(TrainSettings(batch_size=batch_size, epochs=epochs), places, CPU)
    assert 2 <= plan.batch_size <= places
    assert places - plan.batch_size < plan.steps_per_epoch * plan.batch_size <= places
    rates = [plan.learning_rate(step) for step in range(0, plan.steps, max(1, plan.steps // 20))]
    assert all(0 < rate <= plan.peak for rate in rates)


def test_what_is_left_open_follows_the_device_and_the_batch():
    small, large = (Plan.of(TrainSettings(), 25_472, device) for device in (CPU, GPU))
    assert (small.batch_size, small.bf16, small.temperature) == (64, False, 0.2)
    assert (large.batch_size, large.bf16, large.temperature) == (1024, True, 0.1)


def test_the_rate_warms_up_then_falls_to_nearly_nothing():
    plan = Plan.of(TrainSettings(epochs=100, batch_size=64, learning_rate=1e-3), 640, CPU)
    rates = [plan.learning_rate(step) for step in range(plan.steps)]
    assert rates.index(max(rates)) in (99, 100)
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] < 1e-5
    constant = Plan.of(TrainSettings.of_preset("original"), 640, CPU)
    assert {constant.learning_rate(step) for step in range(constant.steps)} == {1e-4}


def test_a_short_run_does_not_keep_its_initial_weights_in_the_mean():
    plan = Plan.of(TrainSettings(ema=0.996), 640, CPU)
    share_of_initial = 1.0
    for step in range(30):
        share_of_initial *= plan.ema_decay(step)
    assert share_of_initial < 1e-3
    assert plan.ema_decay(10_000) == 0.996
