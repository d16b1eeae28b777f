"""What could not be used: which place of which store, at which step, of which kind, why, and what helps."""

from __future__ import annotations

from typing import TypedDict

import pandas as pd
import pyarrow as pa

from sarpipe.codes import helps
from sarpipe.storage import Artefact

ENTRIES = pa.schema([(name, pa.string()) for name in ("id", "store", "step", "code", "reason")])
"""An empty id stands for the whole store; a code is one of `sarpipe.codes.Code`."""

STEPS = ("open", "read", "cube", "collect")
"""At which a store (``open``) or a place is put aside: its file cannot be read, the recipe does not take it, its id is
there twice.
"""


class Refusal(TypedDict):
    """Why a whole store could not be used. JSON-able."""

    code: str
    reason: str


def read_quarantine(cube_set: Artefact) -> pd.DataFrame:
    """Quarantined places and refused stores (their id is empty): the columns of `ENTRIES`.

    A set of an earlier version of sarpipe may lack some, which are empty then.
    """
    return pd.read_parquet(cube_set.path("quarantine.parquet")).reindex(columns=ENTRIES.names, fill_value="")


def with_help(quarantine: pd.DataFrame) -> pd.DataFrame:
    """The entries with a column ``helps``."""
    return quarantine.assign(helps=quarantine["code"].map(helps))
