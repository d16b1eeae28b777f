"""Stores of SSL4EO-S12 v1.1 from its public home, the Hugging Face Hub: pinned to a commit, resumed, verified."""

from sarpipe.download.job import Outcome, fetch
from sarpipe.download.plan import Plan, Step, make_plan
from sarpipe.download.retry import Retry
from sarpipe.download.selection import Selection, select

__all__ = ["Outcome", "Plan", "Retry", "Selection", "Step", "fetch", "make_plan", "select"]
