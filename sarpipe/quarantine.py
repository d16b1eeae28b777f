"""What could not be used: which place of which store, at which step, and what helps."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

ENTRIES = pa.schema([("id", pa.string()), ("store", pa.string()), ("step", pa.string()), ("reason", pa.string())])
"""An empty id stands for the whole store."""

HELPS = {
    "open": "Fetch or mend the store; every run tries it again",
    "read": "Fetch or mend the file of this place; every run tries it again",
    "cube": "The data are whole but the recipe does not take them: another setting of the recipe may",
    "collect": "It is kept once, from the other store; if that is the wrong one, take it out of the source",
}
"""The steps at which a store (``open``) or a place is put aside, and what helps."""


def with_help(quarantine: pd.DataFrame) -> pd.DataFrame:
    """The entries with a column ``helps``."""
    return quarantine.assign(helps=quarantine["step"].map(HELPS))
