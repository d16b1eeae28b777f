"""Sen1Floods11's hand-drawn masks as labels that ``sarpipe evaluate --labels`` probes; others have too few places."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

WET = 0.01
"""Share of water from which a place is wet."""


def water(labels: Path) -> pd.DataFrame:
    """Of Sen1Floods11's hand-drawn masks: share of water, and whether there is any, where half of the mask is known."""
    masks = np.load(labels / "sen1floods11_public_water.npz", allow_pickle=False)
    known = (masks["label"] >= 0).mean(axis=(1, 2))
    share = (masks["label"] == 1).sum(axis=(1, 2)) / np.maximum((masks["label"] >= 0).sum(axis=(1, 2)), 1)
    table = pd.DataFrame({"id": masks["sample"], "water": share, "wet": np.where(share > WET, "wet", "dry")})
    return table[known >= 0.5]


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python benchmarks/real_labels.py sentinel1 water.csv\n  sarpipe run "
        "'sentinel1/single_date/S1GRD/sen1floods11*' --data real --model data/demo/models/sar-... --labels water.csv",
    )
    parser.add_argument("data", type=Path, help="the folder of real data")
    parser.add_argument("out", type=Path, help="the CSV file")
    options = parser.parse_args()
    found = water(options.data / "single_date" / "labels")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(options.out, index=False)
    print(f"{options.out}: {len(found)} places")


if __name__ == "__main__":
    main()
