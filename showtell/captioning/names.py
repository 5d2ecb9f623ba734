"""Names of models that stand for none: a mistake of whoever gave the name, not a failure."""

from __future__ import annotations

from typing import Final

from showtell.checkpoints.catalog import known_names
from showtell.checkpoints.hub import is_hub_id
from showtell.checkpoints.names import split_ensemble
from showtell.errors import CheckpointError, UsageError
from showtell.utils.keywords import did_you_mean_path
from showtell.utils.shipped import find_model

_HELP: Final = "; name a run's folder, one in models/ or a hub id (showtell models lists those that are here)"


class UnknownModelError(CheckpointError, UsageError):
    """No model has the name that was given (exit code 2)."""


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
            fix = did_you_mean_path(member, known_names()) or _HELP
            raise UnknownModelError(f"{member}: no such model{fix}")
