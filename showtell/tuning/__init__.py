"""Hyperparameter tuning: a search space, a study of trials, and a report on it."""
