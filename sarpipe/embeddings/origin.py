"""What embeddings were made from and by, as their files name it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """Where embeddings come from.

    Attributes:
        name: Of the embeddings: the folder that they are committed to.
        provenance: JSON-able without NaN: settings, digests of what went in, versions of what made it.
        model: SHA-256 of the model.
        cubes: SHA-256 of the cubes.
        model_href: The encoder, relative to the folder of the embeddings.
        cubes_href: The cubes, likewise.
    """

    name: str
    provenance: Mapping[str, Any]
    model: str
    cubes: str
    model_href: str
    cubes_href: str
