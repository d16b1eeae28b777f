"""A linear probe of labels that the user has, as the evaluation probes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sarpipe.errors import UsageError
from sarpipe.evaluate.baselines.position import position
from sarpipe.evaluate.blocks import blocks
from sarpipe.evaluate.label_probe import OWN, probe_labels
from sarpipe.notebook.labels import Labels, read_labels

if TYPE_CHECKING:
    from sarpipe.notebook.places import Places

_COLUMNS = ("measure", "value", "low", "high", "random_split", "position", "gap_low", "gap_high", "n", "blocks", "note")


def probe(places: Places, labels: Labels, *, seed: int = 0) -> pd.DataFrame:
    """How well a ridge regression reads labels from the embeddings, on places that it has not seen.

    The probe of ``sarpipe evaluate --labels`` (`sarpipe.evaluate.label_probe`): nested, three seeds, and geographically
    blocked: places within 50 km, and chains of such, are never on both sides of a split. Beside it, on the same folds,
    what needs no image: position, season and orbit alone.

    Args:
        places: From `sarpipe.open_embeddings`.
        labels: By place id, a column a label; numbers are quantities, text and true or false are classes. Places
            without a value are left out of that label.
        seed: For folds and resamples.

    Returns:
        A row a label. ``measure``: ``R²`` of a quantity (below 0 is worse than the mean of the places probed), or
        ``balanced accuracy`` of classes (chance is one over their number). ``value``, with ``low`` and ``high`` (95 %
        bootstrap interval over blocks); ``random_split``, the value on folds that part places of one block; that of
        ``position``; ``gap_low`` and ``gap_high`` (interval of ``value`` minus ``position``, paired); ``n`` places in
        so many ``blocks``; ``note``. Figures are NaN where a label cannot be probed, and ``note`` says why.

    Raises:
        UsageError: No label is of a place here, or none can be probed; the message says why.
    """
    given = read_labels(labels)
    if not given.table["id"].isin(places.ids).any():
        raise UsageError(
            f"no label is of one of these {len(places):,} places: theirs look like {places.ids[0]!r}, "
            f"the labels' like {given.table['id'].iloc[0]!r}",
            "Read ids as text: pandas.read_csv(..., dtype={'id': str})",
        )
    latitude, longitude = (places.table[name].to_numpy(np.float64) for name in ("latitude", "longitude"))
    whole = {OWN: places.vectors, "position": position(places.embeddings.index)}
    found = probe_labels(given, places.ids, whole, blocks(latitude, longitude), seed)
    unknown = int((~np.isfinite(latitude) | ~np.isfinite(longitude)).sum())
    rows = {name: _row(column, unknown) for name, column in found["columns"].items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS)).rename_axis("label")
    if frame["value"].isna().all():
        raise UsageError(f"{frame['note'].iloc[0]}", "Give values of more places, that differ between them")
    return frame


def _row(column: Mapping[str, Any], unknown: int) -> list[Any]:
    notes = list(column["notes"])
    if unknown:
        notes.append(f"the position of {unknown} places is unknown: nothing keeps neighbours among them together")
    measure, found = next(iter(column.get("measures", {}).items()), ("", None))
    if found is None:
        figures = [np.nan] * 7
    else:
        own, other = found[OWN], found["position"]
        figures = [own["value"], *own["interval"], own["random_split"], other["value"], *other["gap"]["interval"]]
    return [measure, *figures, column["n"], column["blocks"], "; ".join(notes)]
