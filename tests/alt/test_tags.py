"""Images that a script loads when they are seen: the text is of the photo, not of its placeholder."""

from __future__ import annotations

import pytest

from showtell.alt.html import find_gaps
from showtell.alt.tags import MADE_ADDRESS, PLACEHOLDER, is_placeholder


@pytest.mark.parametrize(
    "tag",
    [
        '<img src="placeholder.gif" data-src="a.jpg">',
        '<img src="grey.png" data-srcset="a.jpg 400w, b.jpg 800w">',
        '<img src="x.gif" data-lazy-src="a.jpg">',
        '<img src="x.gif" data-lazy-srcset="a.jpg 1x">',
        '<img src="x.gif" data-original="a.jpg">',
        '<img src="x.gif" data-lazy="a.jpg" data-echo="b.jpg">',
        '<img src="x.gif" data-ll-src="a.jpg" data-lazy-loaded="true">',
        '<img src="data:image/gif;base64,R0lGOD" srcset="data:image/gif;base64,R0 1w, a.jpg 2w">',
        '<img srcset="a.jpg 1x,b.jpg 2x" sizes="100vw">',
        '<img src="a.jpg" data-src="product-17" data-lazy="true" data-url="b.jpg">',
        '<img src="blank.gif"><noscript><img src="a.jpg" alt="kept"></noscript>',
        '<a><img src="data:image/svg+xml,x">\n</a><noscript>\n<img src="a.jpg" alt=""></noscript>',
        '<img class=lazy><noscript><img srcset="a.jpg 2x" alt=""></noscript>',
        '<picture><source data-srcset="a.jpg 2x"><img src="1x1.png"></picture>',
        '<picture><source srcset="a.jpg" media="x"><source srcset="b.jpg"><img></picture>',
        '<picture><source srcset="a.webp"><img src="a.jpg"></picture>',
    ],
)
def test_the_photo_is_found(tag: str) -> None:
    assert [(gap.source, gap.problem) for gap in find_gaps(tag)] == [("a.jpg", "")]


@pytest.mark.parametrize(
    ("tag", "source", "problem"),
    [
        ('<img src="img/spacer.gif">', "img/spacer.gif", PLACEHOLDER),
        ('<img class=lazy src="placeholder-300x200.png" data-id=3>', "placeholder-300x200.png", PLACEHOLDER),
        (
            '<img src="loading.svg"> text <noscript><img src=a.jpg alt=x></noscript>',
            "loading.svg",
            PLACEHOLDER,
        ),
        ('<img src="blank.gif" data-src="{{ photo }}">', "{{ photo }}", MADE_ADDRESS),
        (
            '<img src="a.jpg" data-srcset="{{ photo | size: \'2x\' }} 2x">',
            "{{ photo | size: '2x' }} 2x",
            MADE_ADDRESS,
        ),
        ('<img src="data:image/gif;base64,R0">', "data:image/gif;base64,R0", ""),
    ],
)
def test_without_an_address_of_the_photo_the_reason_is_given(tag: str, source: str, problem: str) -> None:
    assert [(gap.source, gap.problem) for gap in find_gaps(tag)] == [(source, problem)]


def test_the_twin_in_noscript_gets_a_text_too() -> None:
    page = '<img src="blank.gif" data-src="a.jpg"><noscript><img src="a.jpg"></noscript>'
    assert [gap.source for gap in find_gaps(page)] == ["a.jpg", "a.jpg"]


@pytest.mark.parametrize(
    "name", ["x/blank.gif", "/img/lazy-load.png", "IMAGE-PLACEHOLDER.jpg", "1x1.png?v=2"]
)
def test_names_of_placeholders(name: str) -> None:
    assert is_placeholder(name)


@pytest.mark.parametrize(
    "name", ["pixel-phone.jpg", "greyhound.jpg", "cleared.jpg", "blank", "http://[x/a.gif"]
)
def test_names_of_photos(name: str) -> None:
    assert not is_placeholder(name)
