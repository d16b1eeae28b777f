"""How much smaller an embedding is, said in bytes that exist."""

from __future__ import annotations

from typing import Any

from sarpipe.channels import EMBED_DIM, N_DATES, PLACE_SIZE, POLARISATIONS

RAW_VALUES = N_DATES * len(POLARISATIONS) * PLACE_SIZE**2
"""Values of one raw place: 4 dates x 2 polarisations x 264 x 264 = 557,568."""

_FLOAT16, _FLOAT32 = 2, 4
_BANDS_OF_ALL_SENSORS = 27
"""Sentinel-1 (2) and Sentinel-2 L1C (13) and L2A (12), in the cubes of the Embed2Scale challenge."""


def compression(source_bytes_on_disk: int, places: int, dates: float = N_DATES) -> dict[str, Any]:
    """Bytes a place before and after, and their ratios.

    ``bytes_per_place``: ``raw_float16``, the place as an array in memory (4 x 2 x 264 x 264 x 2 = 1,115,136 with four
    dates);
    ``source_on_disk``, its share of the store's file, which is compressed already; ``embedding_float32``, 1024 x 4 =
    4,096. ``ratios`` are quotients of these bytes, and so what storing embeddings saves.

    ``value_ratios`` count values and not bytes, so they flatter: a float32 value takes twice the bytes of the float16
    values that it stands for. ``s1_cube``: 557,568 / 1024 = 544.5. ``s1_s2_cube``: 4 x 27 x 264 x 264 / 1024 =
    7,350.75, for a cube of all 27 bands of Sentinel-1 and 2; it is the only reading known to us that gives the "7000x"
    sometimes claimed, and it does not hold for what is embedded here, which is Sentinel-1 alone.

    Args:
        source_bytes_on_disk: Size of all raw stores together.
        places: Places in them, embedded or not.
        dates: How many dates a place has, on average: places of fewer are smaller before they are embedded.

    Returns:
        JSON-able: ``places``, ``bytes_per_place``, ``ratios``, ``value_ratios``. What is not known (no places, or no
        bytes) is None.
    """
    values = RAW_VALUES * dates / N_DATES
    raw, embedding = values * _FLOAT16, EMBED_DIM * _FLOAT32
    on_disk = source_bytes_on_disk / places if places and source_bytes_on_disk else None
    return {
        "places": places,
        "bytes_per_place": {"raw_float16": raw, "source_on_disk": on_disk, "embedding_float32": embedding},
        "ratios": {
            "raw_float16_to_embedding": raw / embedding,
            "source_on_disk_to_embedding": on_disk / embedding if on_disk else None,
        },
        "value_ratios": {
            "s1_cube": values / EMBED_DIM,
            "s1_s2_cube": RAW_VALUES // len(POLARISATIONS) * _BANDS_OF_ALL_SENSORS / EMBED_DIM,
        },
    }
