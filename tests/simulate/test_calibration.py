"""The simulator against real Sentinel-1 scenes, by the measures that ``conftest.py`` describes.

The real sample is small: 14 places, of which 13 have single scenes. Bounds say what such a sample can tell.
"""

import numpy as np


def test_quantiles_of_both_bands_lie_within_the_spread_of_real_places(real, simulated):
    # Fourteen places are no census of land cover. What they can say is how far one place's quantile lies from
    # another's: their standard deviation, 1.1 dB (75 % of VV) to 8.3 dB (1 % of VH, water or none).
    places = np.stack([type(real)([place], []).quantiles() for place in real.places])
    bound = places.std(axis=0)

    difference = simulated.quantiles() - real.quantiles()

    assert (np.abs(difference) <= bound).all(), (difference, bound)


def test_means_and_deviations_are_those_published_for_the_whole_data_set(places):
    # SSL4EO-S12 v1.1: VV -12.577 +- 5.179 dB, VH -20.265 +- 5.872 dB over 246,144 places; it has seas and deserts
    # of which the sample of 14 has none, and lies 1.4 and 2.6 dB below it. The simulator stays between the two.
    db = np.stack([place.db for place in places]).astype(np.float32)

    mean, deviation = np.nanmean(db, axis=(0, 1, 3, 4)), np.nanstd(db, axis=(0, 1, 3, 4))

    assert np.abs(mean - [-12.577, -20.265]).max() < 1.5
    assert np.abs(deviation - [5.179, 5.872]).max() < 1.0


def test_equivalent_number_of_looks_of_homogeneous_ground(real, simulated):
    # One bin of the mode is 10 %, and two neighbouring ones may change places: 21 %. Speckle of 3.5 looks where it
    # should have 4.4 gives a ratio of 0.78, and of 6.5 looks 1.3.
    ratio = simulated.median("looks") / real.median("looks")

    assert ((ratio > 0.79) & (ratio < 1.21)).all(), ratio


def test_speckle_autocorrelation_at_lags_1_to_4(real, simulated):
    # From the 10th to the 90th percentile real scenes spread over 0.07 at lag 1 and 0.14 at lag 2, most of it from
    # the grids on which their providers laid them: about half of that. A point-spread function 20 % wider moves lag 1
    # by 0.06 and lag 2 by 0.08.
    difference = np.abs(simulated.median("autocorrelation") - real.median("autocorrelation"))

    assert (difference <= [0.04, 0.05, 0.04, 0.04]).all(), difference


def test_relation_of_vv_and_vh(real, simulated):
    # The difference follows land cover: the middle 80 % of real scenes spread over 2.8 dB. A third of that.
    assert abs(simulated.median("difference_db") - real.median("difference_db")) < 0.9
    # At 9 pixels only points and edges are common to both bands, as speckle is independent.
    assert abs(simulated.median("local_correlation") - real.median("local_correlation")) < 0.1
    # What is left after 4 pixels is land cover: from 0.36 to 0.94 in real scenes, by how much cover a scene has.
    low, high = np.quantile([scene.smooth_correlation for scene in real.measures], [0.1, 0.9])
    assert low < simulated.median("smooth_correlation") < high


def test_water_is_as_dark_as_real_water_and_vh_falls_to_the_noise(places):
    # 5 % quantiles over the floods of Sen1Floods11 are -20.8 and -29.4 dB; VH goes down to -48 dB at 0.1 %.
    wet = [place for place in places if place.truth["fraction_water"] > 0.2]
    darkest = np.mean([np.nanquantile(place.db.astype(np.float32), 0.05, axis=(0, 2, 3)) for place in wet], axis=0)

    assert abs(darkest[0] + 22) < 3
    assert abs(darkest[1] + 30) < 4
    assert min(np.nanmin(place.db[:, 1]) for place in wet) < -40
