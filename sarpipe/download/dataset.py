"""Where SSL4EO-S12 v1.1 S1GRD lies on the Hub, and how its files are called.

Source: README of github.com/DLR-MF-DAS/SSL4EO-S12-v1.1 ("Download", "License", "Citation").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = "SSL4EO-S12 v1.1 S1GRD"
LICENCE = "CC-BY-4.0"
CITATION = "Blumenstiel et al. 2025, arXiv:2503.00168"
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Layout:
    """One of the two forms in which the dataset is published.

    Attributes:
        name: As ``--layout`` takes it.
        repository: The dataset repository on the Hub.
        suffix: How its files end.
        example: A file name, for messages.
        pattern: What a file name must match as a whole; a group ``split`` where the name tells the split.
    """

    name: str
    repository: str
    suffix: str
    example: str
    pattern: re.Pattern[str]

    def holds(self, split: str, path: str) -> bool:
        """Whether ``path``, as the Hub lists it, is a file of this split and no other path."""
        folder, _, name = path.rpartition("/")
        return folder == folder_of(split) and self.split_of(name) in (split, "")

    def split_of(self, name: str) -> str | None:
        """The split that a file name tells; empty where names tell none, None where it is no name of this layout."""
        match = self.pattern.fullmatch(name)
        return match and match.groupdict().get("split", "")


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "zarr",
            "embed2scale/SSL4EO-S12-v1.1-Zarr",
            ".zarr.zip",
            "ssl4eos12_val_seasonal_data_000001.zarr.zip",
            re.compile(r"ssl4eos12_(?P<split>train|val)_seasonal_data_[0-9]{6}\.zarr\.zip"),
        ),
        Layout(
            "webdataset",
            "embed2scale/SSL4EO-S12-v1.1",
            ".tar",
            "ssl4eos12_shard_000001.tar",
            re.compile(r"ssl4eos12_shard_[0-9]{6}\.tar"),
        ),
    )
}


def folder_of(split: str) -> str:
    """The folder of a split: the same on the Hub and below the output folder."""
    return f"{split}/S1GRD"
