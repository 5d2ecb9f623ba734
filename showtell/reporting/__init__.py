"""HTML reports: scores, training curves and captioned photos in one self-contained file."""

from showtell.reporting.render import Report, ReportImage, ScoreRow, Shown, write_report
from showtell.reporting.thumbnails import make_thumbnail

__all__ = ["Report", "ReportImage", "ScoreRow", "Shown", "make_thumbnail", "write_report"]
