"""The explorer: map, projection and detail of the places, for a browser with scripts."""

from sarpipe.report.explorer.script import EXPLORER_STYLE, SCRIPT_POLICY, script
from sarpipe.report.explorer.section import explorer_section

__all__ = ["EXPLORER_STYLE", "SCRIPT_POLICY", "explorer_section", "script"]
