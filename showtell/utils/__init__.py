"""Helpers that know nothing of captioning: files, devices, tables, progress bars, plots."""
