"""Encoder features: computing them, keeping them in memory or on disk, reading them."""
