"""A page about captions: one HTML file that needs nothing else."""

from showtell.reporting.render import Report, ReportImage, ScoreRow, Shown, write_report
from showtell.reporting.thumbnails import make_thumbnail

__all__ = ["Report", "ReportImage", "ScoreRow", "Shown", "make_thumbnail", "write_report"]
