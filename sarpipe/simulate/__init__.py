"""Simulated stores in the layout of SSL4EO-S12 v1.1, with the truth beside them."""
