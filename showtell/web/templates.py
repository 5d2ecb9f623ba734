"""Jinja templates of HTML pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


def load_template(name: str, package: str, **filters: Callable[..., Any]) -> Template:
    """A template whose values are escaped, and in which an undefined name is an error.

    jinja2 is imported here, where a page is written: it is slow to import.

    Args:
        name: of the file, for example `report.html`.
        package: package of showtell that holds the file, for example `reporting`.
        filters: functions that the template applies to values, by their names there.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("showtell", package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)
