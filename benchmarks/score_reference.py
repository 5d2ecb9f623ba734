"""Score a model on a validation split with the reference: `pycocoevalcap`, PTB tokenizer (Java).

python benchmarks/score_reference.py --model everyday --data ../shared/data/flickr8k
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.data.annotations import load_annotations
from showtell.data.splits import by_split
from showtell.utils.shipped import DEFAULT_MODEL


def main() -> None:
    """Caption and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="a run, or a folder in models/; a,b,c: an ensemble",
    )
    parser.add_argument("--data", default="../shared/data/flickr8k", type=Path, help="the dataset's folder")
    parser.add_argument("--beam-size", default=3, type=int)
    parser.add_argument("--length-penalty", default=SearchConfig().length_penalty, type=float)
    args = parser.parse_args()
    images = by_split(load_annotations(args.data).images, "val")
    captioner = Captioner.load_ensemble(args.model.split(","))
    config = SearchConfig(beam_size=args.beam_size, length_penalty=args.length_penalty)
    start = time.monotonic()
    stream = captioner.caption_stream(images, config, open_source=lambda image: image.path)
    candidates = {done.source.image_id: done.captions[0].text for done in stream if done.captions}
    rate = len(candidates) / (time.monotonic() - start)
    tokenizer = PTBTokenizer()
    predictions = tokenizer.tokenize({image: [{"caption": text}] for image, text in candidates.items()})
    references = tokenizer.tokenize({i.image_id: [{"caption": c} for c in i.references] for i in images})
    bleu, _ = Bleu(4).compute_score(references, predictions, verbose=0)
    scores = {f"BLEU-{n}": score for n, score in enumerate(bleu, 1)}
    for name, scorer in (("METEOR", Meteor()), ("ROUGE-L", Rouge()), ("CIDEr", Cider())):
        scores[name] = scorer.compute_score(references, predictions)[0]
    words = [len(caption[0].split()) for caption in predictions.values()]
    print(f"{args.model} on {len(candidates)} validation images of {args.data.name}, beam {args.beam_size}:")
    print("  ".join(f"{name} {score:.4f}" for name, score in scores.items()))
    print(f"{sum(words) / len(words):.1f} words per caption, {rate:.1f} images/s")


if __name__ == "__main__":
    main()
