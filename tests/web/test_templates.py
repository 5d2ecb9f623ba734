from __future__ import annotations

import jinja2
import pytest

from showtell.web.templates import load_template


def test_values_are_escaped_and_undefined_names_are_errors() -> None:
    page = load_template("caption.html", "web")
    values = {"text": "<b>", "photo": None, "width": None, "tiles": [], "confidence": None, "doubtful": False}
    assert "&lt;b&gt;" in page.render(**values)
    with pytest.raises(jinja2.UndefinedError, match="text"):
        page.render(**{name: value for name, value in values.items() if name != "text"})


def test_filters_have_their_names() -> None:
    page = load_template("caption.html", "web", shout=str.upper)
    assert page.environment.filters["shout"]("a") == "A"
