"""Captions over HTTP: a batcher that knows no HTTP, the service around it, its page, and reviews of captions.

Names are imported when they are asked for: a review's files need no model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from showtell.serving.app import create_app
    from showtell.serving.batcher import Answer, Batcher, BatcherBusyError

__all__ = ["Answer", "Batcher", "BatcherBusyError", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{'app' if name == 'create_app' else 'batcher'}")
    return getattr(module, name)
