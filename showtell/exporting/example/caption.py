"""Captions photos with the graphs in this folder: python caption.py photo.jpg ...

Needs no showtell and no PyTorch: pip install onnxruntime pillow numpy
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent
SETTINGS = json.loads((FOLDER / "showtell.json").read_text(encoding="utf-8"))
WORDS = ["<pad>", "<start>", "<end>", "<unk>", *SETTINGS["vocabulary"]]
NOT_SAID, END = [0, 1, 3], 2
CONTEXT, SIZE = SETTINGS["context"], SETTINGS["transform"]["size"]
ENCODER, START, STEP = (
    onnxruntime.InferenceSession(FOLDER / f"{n}.onnx") for n in ("encoder", "start", "step")
)


def pixels(path: str) -> np.ndarray:
    """The photo at about SIZE x SIZE pixels, nearly in its own proportions: (1, H, W, 3) uint8."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    side = math.sqrt(min(max(image.width / image.height, 1 / 3), 3))
    shape = [round(round(7 * s) * SIZE / 7) for s in (side, 1 / side)]
    return np.asarray(image.resize(shape, Image.Resampling.BICUBIC, reducing_gap=3.0))[None]


def run(session: onnxruntime.InferenceSession, *inputs: np.ndarray) -> list[np.ndarray]:
    """The outputs of a graph."""
    names = [node.name for node in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


def caption(path: str) -> str:
    """The most likely word each time, until the caption ends."""
    state_tensors = run(START, *run(ENCODER, pixels(path)))
    token, words = 1, list[str]()
    while token != END and len(words) < 20:
        _, _, logits, *others = run(STEP, np.array([[token]]), *state_tensors)
        state_tensors[CONTEXT:] = others[-SETTINGS["memory"] :]
        logits[0, 0, NOT_SAID] = -np.inf
        token = int(logits[0, 0].argmax())
        words.append(WORDS[token])
    return " ".join(words).removesuffix(" <end>")


if len(sys.argv) == 1:
    sys.exit("usage: python caption.py photo.jpg ...")
for name in sys.argv[1:]:
    try:
        print(f"{name}: {caption(name)}")
    except OSError as error:
        sys.exit(f"{name}: {error}")
