"""Attributes of `<img>`: whether it has alt text, and the address of its image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from showtell.alt.templates import MaskedText, is_templated, without_masks
from showtell.data.find_images import IMAGE_SUFFIXES

MADE_ADDRESS: Final = "its address is made by a template"
MADE_ATTRIBUTES: Final = "its attributes are made by a template, perhaps its alt text too"
PLACEHOLDER: Final = "it is a placeholder, and the address of the photo is not in its tag"

_NAMES: Final = frozenset({"alt", "alt-title", "aria-label", "aria-labelledby"})
_BOUND: Final = re.compile(  # Angular, Vue, Alpine, Thymeleaf, AngularJS, Svelte, Lit, Aurelia
    r"(?:\[(?:attr\.)?|bind-(?:attr\.)?|bind:|:|v-bind:|x-bind:|(?:data-)?th[:-]|(?:data-|x-)?ng-(?:attr-)?|attr\.|\.)"
    r"(?P<prefixed>[a-z][a-z-]*)(?:\.[a-z-]+)*\]?|(?P<suffixed>[a-z][a-z-]*)\.(?:bind|one-time|to-view|two-way)"
)
_WHOLE: Final = frozenset(
    {"v-bind", "x-bind", "data-bind", "th:attr", "th:attrappend", "th:attrprepend", "th:replace", "th:insert"}
    | {"data-th-attr", "data-th-replace", "data-th-insert"}
)
"""Attributes that stand for others."""
_LAZY: Final = re.compile(r"data-(?:[a-z]+-)*(?:src|lazy|original|echo)")
_LAZY_SET: Final = re.compile(r"data-(?:[a-z]+-)*srcset")
_SET_ENTRY: Final = re.compile(r"[\s,]*(\S*[^\s,])(?:\s[^,]*)?,?")
_PLACEHOLDER: Final = re.compile(
    r"(?:(?:image|img|lazy|photo)?[-_.]?place-?holder|blank|spacer|pixel|transparent|loading|loader|spinner|lazy|"
    r"lazy-?load(?:ing)?|empty|dummy|1x1|gr[ae]y|clear|trans)(?:[-_.]?(?:image|img|pixel|\d+(?:x\d+)?))?",
    re.IGNORECASE,
)


@dataclass
class ImageTag:
    """A tag `<img>`.

    Attributes:
        offset: characters before it.
        values: attributes of plain HTML.
        bound: names of attributes whose value is an expression of a framework: `:alt`, `[src]`, `th:alt`.
        whole: whether other attributes may come from an expression: `{...props}`, `v-bind="image"`.
        sources: addresses of the `<picture>` around it, or of its twin in `<noscript>`.
    """

    offset: int
    values: Mapping[str, str]
    bound: frozenset[str]
    whole: bool
    sources: list[str] = field(default_factory=list)

    @property
    def is_nameless(self) -> bool:
        """Whether it has no alt text, and is not marked as decoration."""
        if self.values.get("role") in ("presentation", "none") or self.values.get("aria-hidden") == "true":
            return False
        return not _NAMES & (self.values.keys() | self.bound)

    @property
    def has_placeholder(self) -> bool:
        """Whether its own address is not that of the photo: it has none, or that of a placeholder."""
        own = next(own_addresses(self.values), "")
        return not own or is_placeholder(own)

    def address(self) -> tuple[str, str]:
        """The address of its image, and why that cannot be used (empty if it can)."""
        lazy = list(lazy_addresses(self.values))
        own = list(own_addresses(self.values))
        made = bool(self.bound & {"src", "srcset"})
        beside = self.sources if self.has_placeholder and not made else []
        source = next(iter((*lazy, *beside, *own)), self.values.get("src", "").strip())
        if self.whole or self.bound & {"role", "aria-hidden"}:
            return source, MADE_ATTRIBUTES
        if is_templated(source) or (made and not lazy):
            return source, MADE_ADDRESS
        return source, PLACEHOLDER if is_placeholder(source) else ""


def read_tag(offset: int, attributes: Iterable[tuple[str, str | None]], page: MaskedText) -> ImageTag:
    """Sort the attributes of a tag; of two with the same name the first one counts."""
    values: dict[str, str] = {}
    bound, whole = set(), False
    for name, value in attributes:
        short = re.fullmatch(r"\{\s*([a-z-]+)\s*\}", page.original(name)) if is_templated(name) else None
        whole = whole or name in _WHOLE or (is_templated(name) and not short)  # {...props}, {{ attributes }}
        name = without_masks(name)  # of {% if x %}alt="y"{% endif %}
        match = _BOUND.fullmatch(name)
        if short:
            bound.add(short[1])
        elif match:
            bound.add(match["prefixed"] or match["suffixed"])
        elif name:
            values.setdefault(name, value or "")
    return ImageTag(offset, values, frozenset(bound), whole)


def lazy_addresses(values: Mapping[str, str]) -> Iterator[str]:
    """Addresses of images that a script loads when they are scrolled to: `data-src`, `data-lazy-srcset`."""
    for name, value in values.items():
        if _LAZY_SET.fullmatch(name):
            yield from filter(_is_image, _set_addresses(value))
        elif _LAZY.fullmatch(name) and _is_image(value):
            yield value.strip()


def own_addresses(values: Mapping[str, str]) -> Iterator[str]:
    """Addresses in `src` and `srcset`, but not those that hold their image (`data:`)."""
    addresses = [values.get("src", "").strip(), *_set_addresses(values.get("srcset", ""))]
    return (address for address in addresses if address and not address.startswith("data:"))


def is_placeholder(address: str) -> bool:
    """Whether an address is that of an image shown until the photo is loaded: `blank.gif`, `loading.svg`."""
    try:
        name = PurePosixPath(urlsplit(address).path)
    except ValueError:
        return False
    return name.suffix.lower() in _FILES and bool(_PLACEHOLDER.fullmatch(name.stem))


_FILES: Final = IMAGE_SUFFIXES | {".svg"}


def _is_image(address: str) -> bool:
    """Whether this looks like the address of an image: scripts keep other things in such attributes too."""
    if is_templated(address):
        return True
    try:
        return PurePosixPath(urlsplit(address.strip()).path).suffix.lower() in _FILES
    except ValueError:
        return False


def _set_addresses(value: str) -> list[str]:
    """Addresses of a `srcset`, as browsers take it apart."""
    return [value.strip()] if is_templated(value) else [match[1] for match in _SET_ENTRY.finditer(value)]
