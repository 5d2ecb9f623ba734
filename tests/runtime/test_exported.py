"""Exported models, against the same model in PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from showtell.captioning.caption import Caption
from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.config import SearchConfig, ServingConfig
from showtell.errors import CheckpointError, ModelError
from showtell.runtime.exported import ArrayState, ExportedCaptioner
from showtell.runtime.manifest import Manifest
from showtell.serving import create_app

RUNTIMES = ["onnx", "openvino"]
SEARCHES = [
    pytest.param(SearchConfig(), id="beam"),
    pytest.param(SearchConfig(beam_size=1), id="greedy"),
    pytest.param(SearchConfig(beam_size=14, num_captions=9), id="a beam wider than the graph's words"),
    pytest.param(SearchConfig(num_captions=3, diversity=0.5), id="diverse"),
    pytest.param(SearchConfig(sample=True, num_captions=2, top_p=0.9), id="sampling"),
]


def assert_same(ours: list[tuple[Caption, ...]], theirs: list[tuple[Caption, ...]]) -> None:
    assert [[c.text for c in captions] for captions in ours] == [
        [c.text for c in captions] for captions in theirs
    ]
    for one, other in zip(sum(ours, ()), sum(theirs, ()), strict=True):
        np.testing.assert_allclose(one.word_log_probs, other.word_log_probs, rtol=1e-3, atol=1e-4)
        assert (one.attention is None) == (other.attention is None)
        if one.attention is not None and other.attention is not None:
            np.testing.assert_allclose(one.attention, other.attention, atol=1e-4)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_features_are_those_of_pytorch_for_any_shape(
    runtime: str, exported: Path, tiny_captioner: Captioner
) -> None:
    random = np.random.default_rng(0)
    shapes = [(64, 64), (64, 96), (96, 64), (64, 64), (32, 128), (64, 96)] * 4
    pixels = [random.integers(0, 255, (*shape, 3), np.uint8) for shape in shapes]
    features = ExportedCaptioner(exported, runtime).encode_pixels(pixels)
    expected = tiny_captioner.encode_pixels(pixels).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_bf16_is_close(copied: Path, tiny_captioner: Captioner, snippets: list[Path]) -> None:
    values = json.loads((copied / "showtell.json").read_text())
    (copied / "showtell.json").write_text(json.dumps(values | {"precision": "bf16"}))
    model = ExportedCaptioner(copied, "openvino")
    pixels = [tiny_captioner.transform.pixels(path) for path in snippets[:8]]
    features, expected = model.encode_pixels(pixels), tiny_captioner.encode_pixels(pixels).numpy()
    assert np.sqrt(np.mean((features - expected) ** 2) / np.mean(expected**2)) < 0.03
    assert all(len(captions[0].words) for captions in model.caption_pixels(pixels))


def test_the_service_takes_it(exported: Path, photos: list[Path]) -> None:
    model = ExportedCaptioner(exported)
    with TestClient(create_app(model, "tiny", ServingConfig())) as client:
        answer = client.post("/v1/captions", files=[("images", photos[0].read_bytes())])
    assert answer.status_code == 200, answer.text
    assert model.caption(photos[:1])[0][0].text in answer.text


@pytest.mark.parametrize("config", SEARCHES)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_captions_are_those_of_pytorch(
    runtime: str,
    config: SearchConfig,
    exported: Path,
    tiny_captioner: Captioner,
    photos: list[Path],
    snippets: list[Path],
) -> None:
    model = ExportedCaptioner(exported, runtime)
    several = [*photos, *snippets[:8]]
    assert_same(
        model.caption(several, config, attention=True),
        tiny_captioner.caption(several, config, attention=True),
    )
    assert_same(model.caption(photos[:1], config), tiny_captioner.caption(photos[:1], config))
    assert model.caption([], config) == []


@pytest.mark.parametrize("config", SEARCHES)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_features_that_are_not_finite_are_refused(
    runtime: str, config: SearchConfig, exported: Path, tiny_captioner: Captioner
) -> None:
    features = np.zeros(
        (2, tiny_captioner.encoder.grid_cells, tiny_captioner.encoder.feature_dim), np.float32
    )
    features[1] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        ExportedCaptioner(exported, runtime).caption_features(features, config)


def test_states_are_picked_from_like_lists() -> None:
    state = ArrayState((np.arange(3),), (np.arange(6).reshape(3, 2), np.arange(12).reshape(3, 2, 2)))
    picked = state.select_hypotheses(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]]))
    assert picked.recurrent[0].tolist() == [[1, 1, 0], [2, 3, 2], [5, 4, 4]]
    assert picked.recurrent[1][2].tolist() == [[10, 11], [8, 9], [8, 9]]
    kept = state.select_images(np.array([2, 0]))
    assert kept.context[0].tolist() == [2, 0]
    assert kept.recurrent[0].tolist() == [[4, 5], [0, 1]]


def test_it_needs_neither_pytorch_nor_transformers(exported: Path, photos: list[Path]) -> None:
    code = f"""
import sys
for name in ("torch", "transformers", "lightning_fabric", "onnx", "nncf", "scipy"):
    sys.modules[name] = None  # importing it fails
from showtell.cli import run_command
sys.exit(run_command("caption", [{str(photos[0])!r}, "--model", {str(exported)!r}], prog="inference.py"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = ExportedCaptioner(exported).caption(photos[:1])[0][0].text
    assert done.stdout.strip() == f"{photos[0]}: {expected}"


def test_captioning_with_pytorch_imports_no_more_than_it_needs(tiny_model: Path, photos: list[Path]) -> None:
    unwanted = {
        "lightning_fabric",
        "transformers",
        "matplotlib",
        "onnxruntime",
        "scipy",
        "sympy",
        "torch._dynamo",
    }
    code = f"""
import sys
from showtell.cli import run_command
run_command("caption", [{str(photos[0])!r}, "--model", {str(tiny_model)!r}], prog="inference.py")
print(*sorted(sys.modules.keys() & {unwanted}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_fingerprints_tell_runtimes_apart(tiny_captioner: Captioner, exported: Path) -> None:
    names = [ExportedCaptioner(exported, runtime).fingerprint() for runtime in ("onnx", "openvino", "onnx")]
    assert names[0] == names[2]
    assert len({*names, tiny_captioner.fingerprint()}) == 3


def test_the_threshold_of_doubt_is_exported_and_older_folders_are_read(
    copied: Path, photos: list[Path]
) -> None:
    known = Calibration((0.0,) * 4, (0.0,) * 5, 0.6)  # all is half sure
    replace(Manifest.load(copied), calibration=known).save(copied)
    assert Manifest.load(copied).calibration == known
    values = json.loads((copied / "showtell.json").read_text())
    [[caption]] = ExportedCaptioner(copied, "onnx").caption(photos[:1])
    assert (caption.confidence, caption.doubtful) == (0.5, True)
    [[drawn]] = ExportedCaptioner(copied, "onnx").caption(photos[:1], SearchConfig(sample=True))
    assert (drawn.confidence, drawn.doubtful) == (None, False)
    del values["calibration"]["doubtful"]
    (copied / "showtell.json").write_text(json.dumps(values))
    [[caption]] = ExportedCaptioner(copied, "onnx").caption(photos[:1])
    assert (caption.confidence, caption.doubtful) == (0.5, False)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_several_threads_may_caption_at_once(runtime: str, exported: Path, snippets: list[Path]) -> None:
    model = ExportedCaptioner(exported, runtime)
    pixels = [[model.transform.pixels(path)] for path in snippets[:6]]
    expected = [model.caption_pixels(image) for image in pixels]
    with ThreadPoolExecutor(4) as pool:
        captions = list(pool.map(model.caption_pixels, pixels * 5))
    for ours, theirs in zip(captions, expected * 5, strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["grid_cells", "feature_dim"])
def test_sizes_that_are_not_those_of_the_graphs_are_refused(runtime: str, name: str, copied: Path) -> None:
    path = copied / "showtell.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {name: values[name] + 1}))
    with pytest.raises(CheckpointError, match=r"damaged .*export the model again"):
        ExportedCaptioner(copied, runtime)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_vocabulary_of_another_size_than_the_graph_s_is_refused(runtime: str, copied: Path) -> None:
    path = copied / "showtell.json"
    values = json.loads(path.read_text())
    values.pop("vocabulary_fingerprint", None)  # earlier exports have none
    path.write_text(json.dumps(values | {"vocabulary": values["vocabulary"][:-1]}))
    with pytest.raises(CheckpointError, match=r"damaged .*export the model again"):
        ExportedCaptioner(copied, runtime)
