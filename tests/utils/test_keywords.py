"""Unknown keyword arguments get an error with a suggestion."""

from __future__ import annotations

import inspect

import pytest

from showtell.errors import UsageError
from showtell.utils.keywords import check_keyword, did_you_mean, did_you_mean_path, suggests_keywords


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("beam_sise", "; did you mean 'beam_size'?"),
        ("beam_size", "; did you mean 'beam_size'?"),
        ("colour", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_suggested(name: str, suggestion: str) -> None:
    assert did_you_mean(name, ["beam_size", "max_length"]) == suggestion
    assert did_you_mean(name, []) == ""


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("runs/mien", "runs/mine"),
        ("mine", "runs/mine"),
        ("other/mine", "runs/mine"),
        ("mien/", "runs/mine"),
        ("models\\mine", "runs/mine"),
        ("everday", "everyday"),
        ("xyz", None),
    ],
)
def test_a_path_is_suggested_by_its_last_part_too(name: str, nearest: str | None) -> None:
    suggestion = did_you_mean_path(name, ["runs/mine", "everyday"])
    assert suggestion == (f"; did you mean {nearest}?" if nearest else "")


def test_a_hint_goes_before_a_near_name() -> None:
    known = ["sizes", "name"]
    check_keyword("f", "name", known, {})
    for hints, message in (
        ({"size": "sizes=[...]"}, r"^f\(\) has no argument 'size'; did you mean sizes=\[\.\.\.\]\?$"),
        ({}, r"^f\(\) has no argument 'size'; did you mean 'sizes'\?$"),
    ):
        with pytest.raises(UsageError, match=message):
            check_keyword("f", "size", known, hints)
    with pytest.raises(UsageError, match=r"^f\(\) has no argument 'xyz': it takes sizes, name$"):
        check_keyword("f", "xyz", iter(known), {})


def test_a_decorated_function_works_as_before_and_suggests() -> None:
    @suggests_keywords(lambda: {"b": "a second positional argument"})
    def add(first: int, *, second: int = 2) -> int:
        """Add."""
        return first + second

    assert (add(1), add(first=1, second=5)) == (3, 6)
    assert add.__doc__ == "Add."
    assert list(inspect.signature(add).parameters) == ["first", "second"]
    with pytest.raises(UsageError, match=r"add\(\) has no argument 'secnd'; did you mean 'second'"):
        add(1, secnd=2)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="did you mean a second positional argument"):
        add(1, b=2)  # type: ignore[call-arg]
