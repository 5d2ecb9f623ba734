"""The pages of the service: its own, and the documents of its interface. They ask no other host."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException

from showtell.web import read_asset

_PAGE: Final = "showtell.serving.page"
_OWN: Final = ("client.js", "app.js", "app.css", "review.js", "review.css", "icon.svg")
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'sha256-{script}'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def add_pages(app: FastAPI, home: str = "index.html") -> None:
    """Add `/`, `/docs`, and the files that they need.

    Args:
        app: the service.
        home: the page at `/`: `index.html` or `review.html`.
    """
    files = {
        "common.js": read_asset("common.js"),
        "common.css": read_asset("common.css"),
        **{name: read_asset(name, _PAGE) for name in _OWN},
        "swagger-ui.js": read_asset("static/swagger-ui-bundle.js", "fastapi_offline"),
        "swagger-ui.css": read_asset("static/swagger-ui.css", "fastapi_offline"),
    }
    index = read_asset(home, _PAGE)
    docs = _docs_page()

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return _html(index, _PAGE_POLICY)

    @app.get("/docs", include_in_schema=False)
    async def swagger() -> Response:
        return _html(docs, _DOCS_POLICY.format(script=_inline_script_hash(docs)))

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "no such file")
        return Response(
            files[name],
            media_type=_TYPES["." + name.rpartition(".")[2]],
            headers={"Cache-Control": "no-cache"},
        )


def _html(text: str, policy: str) -> Response:
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    return Response(text, media_type="text/html", headers=headers)


def _docs_page() -> str:
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="showtell: documents",
        swagger_js_url="static/swagger-ui.js",
        swagger_css_url="static/swagger-ui.css",
        swagger_favicon_url="static/icon.svg",
    )
    return bytes(page.body).decode()


def _inline_script_hash(page: str) -> str:
    """SHA-256 (base64) of the one script that stands in a page, for its policy."""
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
