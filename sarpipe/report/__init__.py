"""The report: one self-contained HTML page that says what was made and how good it is."""

from sarpipe.report.loss_curve import loss_png
from sarpipe.report.page import Report, render
from sarpipe.report.quicklook import quicklook_png

__all__ = ["Report", "loss_png", "quicklook_png", "render"]
