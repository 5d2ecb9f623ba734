"""Captions over HTTP: a batcher that knows no HTTP, the service around it, and its page."""

from showtell.serving.app import create_app
from showtell.serving.batcher import Answer, Batcher, BatcherBusyError

__all__ = ["Answer", "Batcher", "BatcherBusyError", "create_app"]
