"""What the two views of the places of a batch shall be to each other."""

from sarpipe.ssl.losses.barlow_twins import barlow_twins
from sarpipe.ssl.losses.dcl import dcl
from sarpipe.ssl.losses.nt_xent import nt_xent
from sarpipe.ssl.losses.vicreg import vicreg

__all__ = ["barlow_twins", "dcl", "nt_xent", "vicreg"]
