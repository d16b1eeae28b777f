"""Runs: what each has done and what it took, a line a unit; nothing of it is an input or a part of what is made."""
