"""Export a model: graphs for ONNX Runtime and OpenVINO, or a Hugging Face hub folder.

The folder is loaded like any model (--model FOLDER). It contains a short example that needs neither
showtell nor PyTorch. int8 is calibrated on photos similar to those to be captioned. A hub folder has a model
card to edit, the weights (encoder included) and the configuration.
"""

from __future__ import annotations

from typing import Final, get_args

from jsonargparse import Namespace

from showtell.commands.shared.options import add_encoder, add_image_size, add_model
from showtell.commands.shared.parser import Parser
from showtell.exporting.run import export
from showtell.runtime.manifest import ExportPrecision

EXAMPLES: Final = (
    ("{prog} --out exported/fp32", "the included model, for OpenVINO and ONNX Runtime"),
    ("{prog} --precision int8 --photos my_photos/", "the fastest, calibrated on your photos"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell export`."""
    add = parser.add_argument
    add_model(parser)
    add_encoder(parser)
    add_image_size(parser)
    add(
        "--out",
        metavar="FOLDER",
        help="where to write (default: exported/MODEL-PRECISION, with --image-size MODEL-N-PRECISION)",
    )
    add(
        "--precision",
        metavar="|".join(get_args(ExportPrecision)),
        type=ExportPrecision,
        default="fp32",
        help="number format of the graphs; bf16 needs OpenVINO, int8 needs --photos",
    )
    add(
        "--to-hub-folder",
        metavar="FOLDER",
        help="write no graphs, but a folder in the hub's conventions: a model card, weights, configuration",
    )
    add(
        "--language",
        metavar="CODE",
        help="of the captions, for the card of a hub folder, such as de (default: en if the vocabulary is"
        " English)",
    )
    add(
        "--photos",
        nargs="+",
        metavar="PHOTO",
        help="files, folders or globs: int8 is calibrated on 200 of them, and captions are compared on some",
    )


def run(parser: Parser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Export."""
    result = export(
        args.model,
        args.out,
        precision=args.precision,
        photos=args.photos,
        image_size=args.image_size,
        encoder=args.encoder,
        to_hub_folder=args.to_hub_folder,
        language=args.language,
    )
    print(result)
    if result.kind == "hub folder":
        print("Read README.md and complete it: licence, data, limits. Then, for instance:")
        print(f"  hf upload OWNER/{result.name} {result.folder}")
        print(f"  showtell caption --model OWNER/{result.name} photo.jpg      # or --model {result.folder}")
        return
    print(f"Caption with it:\n  showtell caption --model {result.folder} photo.jpg")
    if result.kind != "bf16":
        print(f"or without showtell:\n  python {result.folder / 'caption.py'} photo.jpg")
