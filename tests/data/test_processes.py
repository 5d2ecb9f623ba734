"""Decoding in processes gives what decoding in threads gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from showtell.captioning.captioner import Captioner
from showtell.data import processes
from showtell.data.decode_ahead import decode_ahead
from showtell.data.processes import decode_in_processes
from showtell.data.transforms import ImageTransform
from showtell.errors import ImageError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes start by fork")


def test_images_come_in_order_with_their_errors(tmp_path: Path, snippets: list[Path]) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    paths = [*snippets[:19], bad, *snippets[19:]]
    transform = ImageTransform(64)

    def decode(path: Path) -> list[np.ndarray]:
        return transform.views(path, ("full", "random-1"))

    expected = list(decode_ahead(paths, decode))
    decoded = list(decode_in_processes(iter(paths), decode, size=64, views=2))
    assert [item.source for item in decoded] == paths
    for ours, theirs in zip(decoded, expected, strict=True):
        assert (ours.pixels is None) == (ours.source == bad)
        if ours.pixels is None:
            assert isinstance(ours.error, ImageError)
            assert str(ours.error) == str(theirs.error)
        else:
            assert theirs.pixels is not None
            for one, other in zip(ours.pixels, theirs.pixels, strict=True):
                np.testing.assert_array_equal(one, other)


def test_any_other_error_of_a_process_is_raised(snippets: list[Path]) -> None:
    def decode(path: Path) -> list[np.ndarray]:
        raise RuntimeError(f"broken at {path.name}")

    with pytest.raises(RuntimeError, match=r"broken at 0000\.jpg"):
        list(decode_in_processes(snippets, decode, size=64))


def test_a_stream_of_a_gpu_is_that_of_a_cpu(
    tiny_captioner: Captioner, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [item.captions for item in tiny_captioner.caption_stream(snippets, open_source=Path)]
    monkeypatch.setattr(processes, "MIN_IMAGES_FOR_PROCESSES", 30)
    monkeypatch.setattr(processes, "_MIN_CORES", 1)
    monkeypatch.setattr(Captioner, "device_type", "cuda")
    decoded = list(tiny_captioner.caption_stream(snippets, open_source=Path, batch_size=64))
    assert [item.source for item in decoded] == snippets
    assert [[c.text for c in item.captions] for item in decoded] == [[c.text for c in cs] for cs in expected]
