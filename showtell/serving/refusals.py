"""Requests that are refused, and why."""

from __future__ import annotations

from pydantic import ValidationError


class RefusedError(Exception):
    """A request that is not served.

    Attributes:
        status: of HTTP.
        detail: one line for whoever asked.
        headers: of the answer.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


def invalid(error: ValidationError) -> RefusedError:
    """The first three errors, without what was sent."""
    reasons = [
        f"{'.'.join(str(part)[:40] for part in mistake['loc']) or 'body'}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)[:3]
    ]
    return RefusedError(422, "; ".join(reasons))


def too_many_images(most: int) -> RefusedError:
    """A request of more images than are allowed."""
    return RefusedError(422, f"more than {most} photos; send several requests")
