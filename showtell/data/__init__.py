"""Annotations, words, images and batches: all that happens before a tensor meets a model."""
