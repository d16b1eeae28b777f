from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.ssl4eo.product import orbit_pass, parse_product

# Two products of a real place of SSL4EO-S12 in Punjab; two of Peru, whose catalogue says ascending, relative orbit 91;
# two of one track, one from each satellite.
PUNJAB_MORNING = "S1A_IW_GRDH_1SDV_20200607T010800_20200607T010825_032904_03CFBA_D457"
PUNJAB_EVENING = "S1A_IW_GRDH_1SDV_20200903T131212_20200903T131237_034195_03F8F5_AC1C"
PERU = "S1B_IW_GRDH_1SDV_20170311T234311_20170311T234336_004667_008247_7495"
PERU_AGAIN = "S1B_IW_GRDH_1SDV_20170404T234311_20170404T234336_005017_008C6C_B798"


@pytest.mark.parametrize(
    ("product", "start", "longitude", "passes", "relative"),
    [
        (PUNJAB_MORNING, "2020-06-07T01:08:00", 73.3056, "descending", 107),
        (PUNJAB_EVENING, "2020-09-03T13:12:12", 73.3056, "ascending", 173),
        (PERU, "2017-03-11T23:43:11", -80.0, "ascending", 91),
        (PERU_AGAIN, "2017-04-04T23:43:11", -80.0, "ascending", 91),
        (
            "S1A_IW_GRDH_1SDV_20160901T171608_20160901T171633_012862_0144E3_30E5",
            "2016-09-01T17:16:08",
            9.0,
            "ascending",
            15,
        ),
        (
            "S1B_IW_GRDH_1SDV_20161001T171508_20161001T171533_002316_003E9D_D195",
            "2016-10-01T17:15:08",
            9.0,
            "ascending",
            15,
        ),
    ],
)
def test_real_products(product: str, start: str, longitude: float, passes: str, relative: int) -> None:
    parsed = parse_product(product)

    assert parsed is not None
    assert parsed.mission == product[:3]
    assert parsed.start == np.datetime64(start)
    assert parsed.relative_orbit == relative
    assert orbit_pass(parsed.start, longitude) == passes


@pytest.mark.parametrize(
    ("start", "longitude", "expected"),
    [
        ("2017-06-13T16:50:43", 13.72, "ascending"),  # BigEarthNet, Austria: evening
        ("2017-06-17T06:47:24", -6.89, "descending"),  # BigEarthNet, Ireland: morning
        ("2020-11-27T21:46:46", 121.5, "descending"),  # China, early on the next day there
        ("2020-05-01T02:00:00", -122.0, "ascending"),  # California, the evening before there
        ("2020-05-01T14:00:00", -122.0, "descending"),
        ("2020-05-01T05:30:00", 179.9, "ascending"),  # either side of the date line: the same evening
        ("2020-05-01T05:30:00", -179.9, "ascending"),
    ],
)
def test_evening_passes_ascend_wherever_it_is_evening(start: str, longitude: float, expected: str) -> None:
    assert orbit_pass(np.datetime64(start, "us"), longitude) == expected


def test_a_pass_is_unknown_without_a_date_or_a_place() -> None:
    assert orbit_pass(np.datetime64("NaT", "us"), 10.0) == "unknown"
    assert orbit_pass(np.datetime64("2020-05-01T05:30:00", "us"), float("nan")) == "unknown"


# Sen1Floods11 gives the relative orbit and the day; the absolute orbit of S1A on that day follows from that of a known
# product, as 175 orbits take 12 days.
@pytest.mark.parametrize(
    ("day", "hour", "relative"),
    [
        ("2016-08-12", 23.75, 77),  # India, descending
        ("2018-09-21", 17.62, 103),  # Nigeria, ascending
        ("2017-06-28", 1.43, 5),  # Pakistan, descending
        ("2019-09-17", 6.05, 110),  # Spain, descending
    ],
)
def test_relative_orbits_agree_with_those_of_another_data_set(day: str, hour: float, relative: int) -> None:
    known = np.datetime64("2020-09-03T13:12:12")
    seconds = (known - (np.datetime64(day) + np.timedelta64(round(hour * 3600), "s"))) / np.timedelta64(1, "s")
    absolutes = [34195 - round(seconds / (12 * 86400 / 175)) + step for step in (-1, 0, 1)]
    parsed = [parse_product(f"S1A_IW_GRDH_1SDV_20200101T000000_20200101T000025_{a:06d}_0") for a in absolutes]

    assert relative in [product.relative_orbit for product in parsed if product]


@settings(deadline=None)
@given(st.sampled_from(["S1A", "S1B"]), st.integers(0, 999_999 - 175))
def test_relative_orbits_repeat_after_175(mission: str, orbit: int) -> None:
    one, other = (
        parse_product(f"{mission}_IW_GRDH_1SDV_20200101T000000_20200101T000025_{number:06d}_0")
        for number in (orbit, orbit + 175)
    )

    assert one is not None
    assert other is not None
    assert 1 <= one.relative_orbit == other.relative_orbit <= 175


def test_a_mission_whose_orbits_are_not_known_has_no_relative_orbit() -> None:
    parsed = parse_product("S1C_IW_GRDH_1SDV_20250401T000000_20250401T000025_001234_0")

    assert parsed is not None
    assert parsed.relative_orbit == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BioMassters_0060c0a5_S1_00_ASC",
        "S2A_MSIL1C_20200101T000000_N0208_R051_T31UFS_20200101T000000",
        "S1A_IW_GRDH",
    ]
    + [PUNJAB_MORNING.replace("20200607T0108", bad) for bad in ("20201307T0108", "20200607T2508", "٢٠٢٠٠٦٠٧T0108")]
    + [PUNJAB_MORNING.replace("032904", "03290")],
)
def test_what_is_no_product_id_is_none(text: str) -> None:
    assert parse_product(text) is None


@settings(deadline=None)
@given(st.text())
def test_any_text_is_parsed_or_none(text: str) -> None:
    for candidate in (text, PUNJAB_MORNING[:17] + text, PUNJAB_MORNING[:30] + text + PUNJAB_MORNING[30:]):
        parsed = parse_product(candidate)
        assert parsed is None or not np.isnat(parsed.start)
