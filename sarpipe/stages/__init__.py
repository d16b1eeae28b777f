"""The stages: what is done, what is missing and why, and how one unit is made."""
