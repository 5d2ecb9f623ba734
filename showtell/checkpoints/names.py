"""Names of models and of ensembles."""

from __future__ import annotations

from showtell.utils.shipped import find_model


def split_ensemble(name: str) -> list[str]:
    """The names of an ensemble's members, `a,b`; a file or folder with a comma in its name is one model."""
    return [name] if find_model(name) is not None else name.split(",")
