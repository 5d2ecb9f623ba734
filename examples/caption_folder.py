"""Caption every photo of a folder and write a CSV file; photos that cannot be decoded are reported.

python examples/caption_folder.py my_photos captions.csv
python examples/caption_folder.py my_photos captions.csv --model runs/mine
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import showtell

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def caption_folder(folder: Path, output: Path, model: str = "everyday") -> int:
    """Write `output` with the columns image, caption and confidence; returns the number of captions."""
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    captioner = showtell.load(model)
    count = 0
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption", "confidence"])
        # A stream captions photos in batches, in constant memory; `captioner(photos)` returns a list.
        for result in captioner.caption_stream(photos, open_source=lambda photo: photo):
            if result.error is not None:
                print(f"skipped {result.error}")
                continue
            best = result.captions[0]
            confidence = "" if best.confidence is None else f"{best.confidence:.3f}"
            writer.writerow([result.source.relative_to(folder), best.text, confidence])
            count += 1
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Caption every photo of a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path, help="CSV file to write")
    parser.add_argument("--model", default="everyday", help="any name that showtell.load takes")
    arguments = parser.parse_args()
    print(caption_folder(**vars(arguments)), "captions written to", arguments.output)
