"""Names of models and of ensembles."""

from __future__ import annotations

from typing import Final

from showtell.checkpoints.catalog import known_names
from showtell.checkpoints.hub import is_hub_id
from showtell.errors import UnknownModelError
from showtell.utils.keywords import did_you_mean_path
from showtell.utils.shipped import find_model

NAME_HINT: Final = (
    "; name a run's folder, one in models/ or a hub id (showtell models lists those that are here)"
)


def split_ensemble(name: str) -> list[str]:
    """The names of an ensemble's members, `a,b`; a file or folder with a comma in its name is one model."""
    return [name] if find_model(name) is not None else name.split(",")


def require_model(name: str) -> None:
    """Check that there is a model of a name, before seconds of loading.

    Args:
        name: as `showtell.load` takes it, with the newest run's in place of `last`. A name that may be that
            of a model on the hub (`owner/name`) is left to the hub.

    Raises:
        UnknownModelError: a model, or a member of an ensemble, is neither here nor on the hub.
    """
    for member in split_ensemble(name):
        if find_model(member) is None and not is_hub_id(member):
            raise unknown_model(member)


def unknown_model(name: str) -> UnknownModelError:
    """The error of a name that no model has, with similar names or with what names there are."""
    return UnknownModelError(f"{name}: no such model{did_you_mean_path(name, known_names()) or NAME_HINT}")
