"""Links of a page."""

from html.parser import HTMLParser


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href") and value]


def links_of(page: str) -> list[str]:
    """What its elements point to by src and href."""
    parser = _Links()
    parser.feed(page)
    return parser.links
