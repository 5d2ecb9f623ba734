"""The pages: their security headers, and no other files."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from starlette.testclient import TestClient

from tests.serving.links import links_of


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/model", "/healthz", "/nothing", "/static/app.js"])
def test_every_answer_has_security_headers(shared_client: TestClient, path: str) -> None:
    headers = shared_client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'unsafe" not in policy
    assert "http:" not in policy
    assert "https:" not in policy


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/__init__.py"])
def test_no_other_file_can_be_read(shared_client: TestClient, path: str) -> None:
    assert shared_client.get(path).status_code == 404


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_pages_name_no_other_host_and_all_of_their_files_are_there(
    shared_client: TestClient, page: str
) -> None:
    links = links_of(shared_client.get(page).text)
    assert links
    for link in links:
        assert "//" not in link
        assert shared_client.get(f"/{link}").status_code == 200


def test_the_one_script_within_the_documents_page_is_allowed_by_its_hash(shared_client: TestClient) -> None:
    response = shared_client.get("/docs")
    (script,) = re.findall("<script>(.*?)</script>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in response.headers["content-security-policy"]
    assert "sha256" not in shared_client.get("/").headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("app.js", "text/javascript"), ("common.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
def test_files_have_their_types_and_are_asked_for_again(
    name: str, kind: str, shared_client: TestClient
) -> None:
    response = shared_client.get(f"/static/{name}")
    assert response.headers["content-type"].startswith(kind)
    assert response.headers["cache-control"] == "no-cache"
    assert len(response.text) > 100
