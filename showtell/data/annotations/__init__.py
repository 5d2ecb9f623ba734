"""Annotation files of every known format -> `list[CaptionedImage]`; one reader a file.

A reader says which files are its own (`matches`) and feeds what it finds to a `Collector` (`read`), which
judges every entry by the same rules.
"""

from showtell.data.annotations.collector import LoadedAnnotations
from showtell.data.annotations.entries import Reason, Skipped
from showtell.data.annotations.load import find_dataset_root, load_annotations

__all__ = ["LoadedAnnotations", "Reason", "Skipped", "find_dataset_root", "load_annotations"]
