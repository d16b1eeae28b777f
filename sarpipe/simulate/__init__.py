"""Simulated stores in the layout of SSL4EO-S12 v1.1, with the truth beside them."""

from sarpipe.simulate.place import SimulatedPlace, simulate_place
from sarpipe.simulate.store import simulate

__all__ = ["SimulatedPlace", "simulate", "simulate_place"]
