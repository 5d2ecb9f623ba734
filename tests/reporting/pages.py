"""Reports for tests: real small images, captions and attention drawn by lot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from showtell.evaluation.word_usage import word_usage
from showtell.reporting import Report, ReportImage, ScoreRow, Shown, make_thumbnail

WORDS = ("dog", "cat", "man", "woman", "ball", "grass")
GRID = (7, 7)


def make_shown(words: Sequence[str], random: np.random.Generator, **changes: object) -> Shown:
    """A caption whose words each look at one cell, with probabilities and scores drawn by lot."""
    attention = np.zeros((len(words), *GRID), np.float32)
    for index in range(len(words)):
        attention[index, random.integers(GRID[0]), random.integers(GRID[1])] = 1
    settings = {
        "text": " ".join(words),
        "words": tuple(words),
        "probabilities": tuple(random.random(len(words)).tolist()),
        "attention": attention,
        "score": float(random.random() * 3),
        "scores": {"BLEU-4": float(random.random())},
        "confidence": float(random.random()),
    }
    return Shown(**settings | changes)  # type: ignore[arg-type]


def make_report(files: Sequence[Path], *, models: Sequence[str] = ("mine",)) -> Report:
    """A report about these photos; the first person's caption is the first model's turned round."""
    random = np.random.default_rng(0)
    images = []
    for file in files:
        candidates = [["a", *random.permutation(WORDS)[:3].tolist(), file.stem] for _ in models]
        people = (" ".join(reversed(candidates[0])), "a ball on the grass")
        shown = tuple(make_shown(words, random) for words in candidates)
        images.append(ReportImage(file.name, make_thumbnail(file), people, shown))
    columns = (*models, "last week")
    return Report(
        title=f"{' and '.join(models)} on snippets",
        subtitle=f"{len(files)} photos",
        models=tuple(models),
        columns=columns,
        rows=(
            ScoreRow("CIDEr", ((0.5, 0.4, 0.6),) * len(columns), "as papers report it"),
            ScoreRow("novel", (*((0.5, None, None),) * len(models), None)),
        ),
        footnotes=("SPICE left out.",),
        comparison=(("CIDEr", -0.1, -0.2, 0.01, 0.04),) if len(models) > 1 else (),
        curves={"Loss": {"train_loss": [(1, 3.0), (2, 2.5)], "val_loss": [(1, 3.2), (2, 2.9)]}},
        images=tuple(images),
        usage=tuple(
            word_usage(
                [image.shown[place].words for image in images],
                [[text.split() for text in image.references] for image in images],
            )
            for place in range(len(models))
        ),
    )
