"""Measure captions: of a model on a split, or of a file of predictions against references.

BLEU, ROUGE-L, CIDEr and more need no Java; METEOR and SPICE are added where it is present. Intervals are
those of resampled images.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from jsonargparse import Namespace

from showtell.commands import evaluation
from showtell.commands.evaluation import Captions, EvaluationData
from showtell.commands.parser import Parser
from showtell.data.annotations.entries import EMPTY_CAPTION
from showtell.errors import UsageError
from showtell.evaluation.measure import MEANING, compare_measures, format_score
from showtell.evaluation.scorecard import ScoreCard
from showtell.evaluation.statistic import Difference
from showtell.evaluation.submission import write_submission

EXAMPLES: Final = (
    ("{prog} --data coco", "the model in the box on the validation photos of a dataset"),
    ("{prog} --predictions mine.json --data coco", "anybody's captions"),
)
_UNSCORED = ("no caption of an image", "photo that cannot be shown")


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell evaluate`."""
    evaluation.add_arguments(parser)
    parser.add_argument(
        "--submission",
        metavar="NAME",
        help="also write captions_<split>_NAME_results.json, the file that COCO's evaluation server takes",
    )


def run(parser: Parser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Evaluate."""
    several = evaluation.datasets(args)
    for number, (name, config) in enumerate(several.items()):
        data, sources, measures, cards = evaluation.evaluate(args, config, name)
        print("\n" if number else "", end="")
        _print_card(cards[0])
        if len(cards) > 1:
            _print_comparison(cards, compare_measures(*measures))
        folder = evaluation.results_folder(args, data, within=len(several) > 1)
        files = evaluation.save_cards(cards, folder)
        print(f"\nscores: {', '.join(map(str, files))}")
        if args.submission:
            print(f"submission: {_write_submission(folder, args.submission, data, sources[0])}")


def _print_card(card: ScoreCard) -> None:
    print(f"{card.title}\n\n{'':<15}{'score':>9}   95 % interval")
    for name, value in card.values.items():
        interval = card.intervals.get(name)
        span = (
            f"{format_score(interval.low, name)} to {format_score(interval.high, name)}" if interval else ""
        )
        meaning = card.notes.get(name) or MEANING.get(name, "")
        print(f"{name:<15}{format_score(value, name):>9}   {span:<20} {meaning}".rstrip())
    for name, reason in card.left_out.items():
        print(f"left out: {name} ({reason})")
    for reason, number in card.skipped.items():
        print(f"{number:,}: {reason}" if reason == EMPTY_CAPTION else f"dropped {number:,}: {reason}")
    if left := sum(number for reason, number in card.skipped.items() if reason in _UNSCORED):
        print(f"{left:,} images have no caption and are not in the scores, which may rise by that")


def _print_comparison(cards: list[ScoreCard], differences: dict[str, Difference]) -> None:
    first, second = cards
    print(f"\nagainst {second.title}\n")
    print(f"{'':<15}{'first':>9}{'second':>9}{'difference':>12}   95 % interval      p")
    for name, found in differences.items():
        interval = f"{found.interval.low:+.3f} to {found.interval.high:+.3f}"
        values = f"{format_score(first.values[name], name):>9}{format_score(second.values[name], name):>9}"
        print(f"{name:<15}{values}{found.value:>+12.3f}   {interval:<18} {found.p_value:.4f}")
    print("p: how often swapping the captions of the two at random, image by image, gives such a difference")


def _write_submission(folder: Path, name: str, data: EvaluationData, source: Captions) -> Path:
    """Write COCO's file of results; the split is named as its folder, where that says the year (val2017)."""
    parents = {image.path.parent.name for image in data.images}
    parent = parents.pop() if len(parents) == 1 else ""
    split = parent if re.fullmatch(r"(train|val|test)\d{4}", parent) else data.split
    if len(source.texts) < len(data.images):
        raise UsageError(
            f"--submission needs a caption of each image; {len(data.images) - len(source.texts):,} have none"
        )
    return write_submission(folder, split, name, {image: texts[0] for image, texts in source.texts.items()})
