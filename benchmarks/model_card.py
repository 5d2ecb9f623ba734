"""The measured parts of a model's card, as Markdown: scores, photos with captions, words for men and women.

    python benchmarks/model_card.py --model everyday --data ../shared/data/flickr8k ../shared/data/coco-8k
    python benchmarks/model_card.py ... --write      # into the card, models/everyday/README.md

The scores are those of `showtell evaluate` on each dataset (METEOR if Java is available). The photos chosen
at random are from the last dataset; the card gets their id, a human caption and the model's caption, never
the photo.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import yaml

from showtell.captioning.caption import Caption
from showtell.captioning.captioner import Captioner
from showtell.commands.caption import SAMPLE_PHOTOS
from showtell.data.records import CaptionedImage
from showtell.data.tokenizer import tokenize
from showtell.decoder import RNNDecoder
from showtell.evaluation import run
from showtell.evaluation.scorecard import ScoreCard
from showtell.evaluation.scores import format_score
from showtell.utils.runs import MODEL
from showtell.utils.shipped import DEFAULT_MODEL, find_model

TITLES: Final = {"flickr8k": ("Flickr8k", "dev"), "coco-8k": ("COCO", "val")}
"""Name and split of datasets as people know them."""
SCORES: Final = {
    "BLEU-1": "BLEU-1",
    "BLEU-2": "BLEU-2",
    "BLEU-3": "BLEU-3",
    "BLEU-4": "BLEU-4",
    "METEOR": "METEOR",
    "ROUGE-L": "ROUGE-L",
    "CIDEr": "CIDEr (CIDEr-D)",
    "length": "words per caption",
    "novel": "captions that do not occur in the training set",
    "bad endings": "captions that end with a word such as `a` or `with`",
    "distinct words": "distinct words",
}
"""Rows of the table of figures: name of the score -> what the card says."""
_INDEX: Final = re.compile(r"^model-index:\n(?:(?:- | ).*\n)*", re.MULTILINE)
NUM_PHOTOS: Final = 24
SEED: Final = 8


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MEN: Final = _words(
    "man men male males boy boys guy guys gentleman gentlemen father dad son brother brothers husband groom"
    " he him his himself"
)
WOMEN: Final = _words(
    "woman women female females girl girls lady ladies mother mom daughter sister sisters wife bride she her"
    " hers herself"
)
OTHERS: Final = _words(
    "person persons people child children kid kids toddler toddlers baby babies adult adults couple family"
    " crowd someone player players rider riders skier skiers surfer surfers snowboarder snowboarders"
    " skateboarder skateboarders skater biker bicyclist cyclist climber climbers hiker hikers batter pitcher"
    " worker workers officer officers student students teen teenager teenagers passengers spectators"
    " pedestrians they their"
)
MENTIONS: Final = ("a man", "a woman", "both", "a person", "nobody")


@dataclass(frozen=True)
class Evaluated:
    """Captions of a dataset by a model, and their scores."""

    card: ScoreCard
    images: list[CaptionedImage]
    captions: Mapping[str, Caption]

    @property
    def title(self) -> tuple[str, str]:
        """Name and split of the dataset."""
        return TITLES.get(self.card.data, (self.card.data, self.card.split))


def evaluate(model: str, data: str, *, java: bool) -> Evaluated:
    """Caption a dataset's validation photos, and measure, as `showtell evaluate` does."""
    (result,) = run.evaluate(model, data, java=java).datasets
    return Evaluated(result.cards[0], result.data.images, result.captions[0].best)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells)


def facts(model: str) -> str:
    """Kind and size of the model."""
    captioner = Captioner.load(model)
    decoder, folder = captioner.decoder, find_model(model)
    assert isinstance(decoder, RNNDecoder)
    assert folder is not None
    config, size = decoder.config, captioner.transform.size
    millions = sum(weight.numel() for weight in decoder.parameters()) / 1e6
    megabytes = (folder / MODEL).stat().st_size / 1e6
    heads = f" with {config.attention_heads} heads" if config.kind == "topdown" else ""
    return (
        f"A `{config.kind}` decoder ({config.hidden_dim} {config.cell.upper()} units, attention{heads};"
        f" {millions:.1f} M weights,\n{megabytes:.1f} MB) with a vocabulary of {len(captioner.vocabulary):,}"
        " words, special tokens included. It attends to the frozen encoder's features of\n"
        f"photos of about {size} x {size} pixels ({captioner.encoder.grid_cells} grid cells)."
    )


def figures(evaluated: Sequence[Evaluated]) -> str:
    """Scores of each dataset with their 95 % intervals."""
    rows = []
    for name, shown in SCORES.items():
        cells = []
        for card in (each.card for each in evaluated):
            interval = card.intervals.get(name)
            value = format_score(card.values[name], name) if name in card.values else "-"
            low, high = (
                (format_score(x, name) for x in (interval.low, interval.high)) if interval else ("", "")
            )
            cells.append(f"{value} ({low} to {high})" if interval else value)
        rows.append([shown, *cells])
    rows.insert(0, ["photos", *(f"{each.card.images:,}" for each in evaluated)])
    return table(["score", *(" ".join(each.title) for each in evaluated)], rows)


def index(model: str, evaluated: Sequence[Evaluated]) -> str:
    """The scores as the hub's `model-index`, in YAML."""
    results = [
        {
            "task": {"type": "image-to-text", "name": "Image captioning"},
            "dataset": {"type": each.title[0].lower(), "name": each.title[0], "split": each.title[1]},
            "metrics": [
                {
                    "type": name.partition("-")[0].lower(),
                    "name": name,
                    "value": round(each.card.values[name], 3),
                }
                for name in list(SCORES)[:7]
                if name in each.card.values
            ],
        }
        for each in evaluated
    ]
    return yaml.safe_dump({"model-index": [{"name": model, "results": results}]}, sort_keys=False).strip()


def samples(model: str) -> str:
    """Captions of scikit-image's photographs."""
    folder = Path(str(resources.files("skimage.data")))
    captions = Captioner.load(model).caption([folder / name for name in SAMPLE_PHOTOS])
    rows = [
        [name.partition(".")[0], caption.text, confidence(caption)]
        for name, (caption, *_) in zip(SAMPLE_PHOTOS, captions, strict=True)
    ]
    return table(["photo", "caption", "confidence"], rows)


def chance(evaluated: Evaluated, number: int = NUM_PHOTOS, seed: int = SEED) -> str:
    """Captions of photos chosen at random, each beside a human caption, also chosen at random."""
    generator = random.Random(seed)
    images = {image.image_id: image for image in evaluated.images if image.image_id in evaluated.captions}
    chosen = generator.sample(sorted(images), min(number, len(images)))
    rows = []
    for image_id in sorted(chosen, key=lambda each: (len(each), each)):
        caption = evaluated.captions[image_id]
        human = generator.choice(images[image_id].references)
        rows.append([image_id, " ".join(tokenize(human)), caption.text, confidence(caption)])
    return table([f"{evaluated.title[0]} id", "human caption", "caption of the model", "confidence"], rows)


def confidence(caption: Caption) -> str:
    """The confidence of a caption, as text."""
    return "-" if caption.confidence is None else f"{caption.confidence:.2f}"


def who(words: Sequence[str]) -> str:
    """Who is in a caption: one of `MENTIONS`."""
    present = set(words)
    if present & MEN:
        return "both" if present & WOMEN else "a man"
    if present & WOMEN:
        return "a woman"
    return "a person" if present & OTHERS else "nobody"


def who_people_see(references: Sequence[str]) -> str:
    """Who is in a photo by its references: a man if some mention one and none a woman, and so on."""
    seen = {who(tokenize(reference)) for reference in references}
    if "both" in seen or {"a man", "a woman"} <= seen:
        return "both"
    return next(kind for kind in MENTIONS if kind in seen)


def gender(evaluated: Sequence[Evaluated]) -> str:
    """How often the model mentions a man, a woman, ..., for photos whose references mention each."""
    rows = []
    for each in evaluated:
        seen: dict[str, Counter[str]] = {kind: Counter() for kind in MENTIONS}
        for image in each.images:
            if image.image_id in each.captions:
                caption = each.captions[image.image_id]
                seen[who_people_see(image.references)][who(tokenize(caption.text))] += 1
        for kind, counts in seen.items():
            total = counts.total()
            shares = [f"{100 * counts[kind] / total:.0f} %" if total else "-" for kind in MENTIONS]
            rows.append([" ".join(each.title), kind, f"{total:,}", *shares])
    return table(["dataset", "human captions", "photos", *(f"model: {kind}" for kind in MENTIONS)], rows)


def parts(model: str, data: Sequence[str], *, java: bool) -> Iterator[tuple[str, str]]:
    """The measured parts of the card: (name, text)."""
    evaluated = [evaluate(model, each, java=java) for each in data]
    yield "index", index(model, evaluated)
    yield "facts", facts(model)
    yield "figures", figures(evaluated)
    yield "samples", samples(model)
    yield "chance", chance(evaluated[-1])
    yield "gender", gender(evaluated)


def put(card: str, name: str, text: str) -> str:
    """The card with a part replaced: between `<!-- NAME -->` and `<!-- /NAME -->`; the index is its last key.

    Raises:
        SystemExit: the card has no place for it.
    """
    if name == "index":
        card, count = _INDEX.subn(lambda _: f"{text}\n", card, count=1)
    else:
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        card, count = place.subn(lambda found: f"{found[1]}{text}\n{found[2]}", card, count=1)
    if not count:
        raise SystemExit(f"the card has no place for its {name}: <!-- {name} --> ... <!-- /{name} -->")
    return card


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The measured parts of a model's card, as Markdown.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a folder in models/, or a run")
    parser.add_argument("--data", nargs="+", required=True, help="folders of datasets, the last one COCO's")
    parser.add_argument("--no-java", action="store_true", help="without METEOR")
    parser.add_argument("--write", action="store_true", help="put them into the model's README.md too")
    args = parser.parse_args()
    folder = find_model(args.model)
    if folder is None:
        raise SystemExit(f"{args.model}: no such model; name a folder in models/, or a run")
    card = (folder / "README.md").read_text(encoding="utf-8") if args.write else ""
    for name, text in parts(args.model, args.data, java=not args.no_java):
        print(f"<!-- {name} -->\n{text}\n<!-- /{name} -->\n", flush=True)
        card = put(card, name, text) if args.write else card
    if args.write:
        (folder / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
