"""Scores that other packages register (`showtell.scores`)."""

from __future__ import annotations

import copy

import numpy as np

from showtell.config.plugins import load_plugin, plugin_failed, plugin_names
from showtell.errors import PluginError
from showtell.evaluation.significance import Statistic


def plugin_scores(candidates: list[list[str]], references: list[list[list[str]]]) -> dict[str, Statistic]:
    """The scores of all plug-ins that are installed; that of a corpus is the mean over its images.

    Args:
        candidates: the words of each image's caption.
        references: the words of each image's references.

    Raises:
        PluginError: one cannot be imported, fails, or does not give a finite number for each image.
    """
    scores = {}
    for name in plugin_names("scores"):
        score = load_plugin("scores", name)
        try:  # copies: the words are needed by other scores
            values = np.asarray(score(copy.deepcopy(candidates), copy.deepcopy(references)), np.float64)
        except Exception as error:
            raise plugin_failed("scores", name, error) from error
        if values.shape != (len(candidates),) or not np.isfinite(values).all():
            raise PluginError(
                f"plug-in {name} (showtell.scores): it has to give a finite number for each of the"
                f" {len(candidates)} images, and gave an array of shape {values.shape}"
            )
        scores[name] = Statistic.mean(values)
    return scores
