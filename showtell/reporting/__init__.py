"""A page about captions: one HTML file that needs nothing else."""

from showtell.reporting.render import Picture, Report, ScoreRow, Shown, write_report
from showtell.reporting.thumbnails import make_thumbnail

__all__ = ["Picture", "Report", "ScoreRow", "Shown", "make_thumbnail", "write_report"]
