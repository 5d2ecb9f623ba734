"""Addresses where files are expected."""

from __future__ import annotations

import pytest

from showtell.data.urls import is_url, path_of_url


@pytest.mark.parametrize(
    ("name", "address", "path"),
    [
        ("https://x.org/b/a.jpg", True, "x.org/b/a.jpg"),
        ("S3://bucket/a.jpg", True, "bucket/a.jpg"),
        ("file:///home/a.jpg", True, "home/a.jpg"),
        ("https://", True, None),
        ("data:image/png;base64,AAAA", True, None),
        ("a.jpg", False, None),
        ("C:/a.jpg", False, None),
        ("c://a.jpg", False, None),
        ("photos//a.jpg", False, None),
        ("/x/http://a.jpg", False, None),
    ],
)
def test_addresses_and_where_their_files_belong(name: str, address: bool, path: str | None) -> None:
    assert (is_url(name), path_of_url(name)) == (address, path)
