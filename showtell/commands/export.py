"""Export a model: graphs that caption without PyTorch, several times as fast; or a folder for the hub.

The folder is used as any model (--model FOLDER). Graphs are run by OpenVINO or ONNX Runtime, and beside them
is a 50-line example that needs neither showtell nor PyTorch; int8 is calibrated on photos like those to be
captioned. A hub folder holds a model card to be edited, the weights with the encoder, and the configuration.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from showtell.commands.options import add_encoder, add_image_size, add_model
from showtell.data.collect import find_images
from showtell.data.images import check_image_size
from showtell.data.loading import decode_ahead
from showtell.errors import UsageError
from showtell.hub import is_hub_id
from showtell.resources import find_model
from showtell.runtime.manifest import ExportPrecision, find_exported

if TYPE_CHECKING:
    from showtell.captioner import Captioner
    from showtell.captioning import Pixels

FEWEST: Final = 20
_PHOTOS: Final = 200
"""Photos that are enough to calibrate on."""
_COMPARED: Final = 16


def add_arguments(parser: ArgumentParser) -> None:
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
    add("--precision", type=ExportPrecision, default="fp32", help="bf16 needs OpenVINO, int8 needs --photos")
    add(
        "--to-hub-folder",
        metavar="FOLDER",
        help="write no graphs, but a folder in the hub's conventions: a model card, weights, configuration",
    )
    add(
        "--photos",
        nargs="+",
        metavar="PHOTO",
        help="files, folders or globs: int8 is calibrated on 200 of them, and captions are compared on some",
    )


def run(parser: ArgumentParser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Export.

    Raises:
        UsageError: the extra is not installed, photos are missing, or there is something else in the folder.
    """
    if find_exported(args.model):
        raise UsageError(f"--model {args.model}: it is an exported model already")
    check_image_size(args.image_size)
    if args.to_hub_folder is not None:
        _to_hub_folder(args)
    else:
        _to_graphs(args)


def _to_hub_folder(args: Namespace) -> None:
    for option, given in (
        ("--out", args.out),
        ("--photos", args.photos),
        ("--precision", args.precision != "fp32"),
    ):
        if given:
            raise UsageError(f"{option} is for graphs: leave it out, or --to-hub-folder")
    if "," in args.model:
        raise UsageError(
            f"--to-hub-folder takes one model, not an ensemble: name one of {args.model} with --model"
        )
    if find_model(args.model) is None and is_hub_id(args.model):
        raise UsageError(
            f"--model {args.model}: it is a hub folder already; copy it with its card and licence: "
            f"hf download {args.model} --local-dir {args.to_hub_folder}"
        )
    start, folder, name = time.monotonic(), Path(args.to_hub_folder), _name(args.model)
    from showtell.exporting.hub_folder import check_hub_target, write_hub_folder

    check_hub_target(folder)
    import torch

    from showtell.captioner import Captioner
    from showtell.model_file import locate_model

    source = locate_model(args.model)
    captioner = Captioner.load(
        str(source), encoder=args.encoder, device=torch.device("cpu"), image_size=args.image_size
    )
    write_hub_folder(captioner, source.parent, name, folder)
    _list_files(folder, "hub folder", time.monotonic() - start)
    print("Read README.md and complete it: licence, data, limits. Then, for instance:")
    print(f"  hf upload OWNER/{name} {folder}")
    print(f"  showtell caption --model OWNER/{name} photo.jpg      # or --model {folder}")


def _to_graphs(args: Namespace) -> None:
    if args.precision == "int8" and not args.photos:
        raise UsageError(
            f"--precision int8 is calibrated on photos: name {FEWEST} or more, or a folder, with --photos"
        )
    photos = list(find_images(args.photos)) if args.photos else []
    try:
        import onnx  # noqa: F401 - the exporter needs it; said before a minute's work
        import onnxscript  # noqa: F401
        import openvino  # noqa: F401

        from showtell.exporting.folder import check_target, export_model

        if args.precision == "int8":
            import onnxruntime  # noqa: F401

            import showtell.exporting.quantize  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            f"exporting needs {error.name}: install it with pip install 'showtell[export]'"
        ) from error
    name = _name(args.model)
    sized = name if args.image_size is None else f"{name}-{args.image_size}"
    folder = Path(args.out or f"exported/{sized}-{args.precision}")
    check_target(folder)
    import torch

    from showtell.captioner import Captioner

    captioner = Captioner.load_ensemble(
        args.model.split(","),
        encoder=args.encoder,
        device=torch.device("cpu"),
        image_size=args.image_size,
    )
    pixels = _decode(captioner, photos)
    if args.precision == "int8" and len(pixels) < FEWEST:
        raise UsageError(f"--photos: {len(pixels)} of them can be shown; int8 needs {FEWEST} to calibrate on")
    captioner.encoder.precision = "fp32"
    start = time.monotonic()
    manifest = export_model(captioner, name, folder, args.precision, pixels)
    seconds = time.monotonic() - start
    _list_files(folder, args.precision, seconds)
    if pixels:
        _compare(captioner, folder, pixels[-_COMPARED:])
    print(f"Caption with it:\n  showtell caption --model {folder} photo.jpg")
    if manifest.precision != "bf16":
        print(f"or without showtell:\n  python {folder / 'caption.py'} photo.jpg")


def _list_files(folder: Path, kind: str, seconds: float) -> None:
    sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(folder.iterdir())}
    print(f"{folder}: {kind}, {sum(sizes.values()):.0f} MB, in {seconds:.0f} s")
    width = max(map(len, sizes)) + 2
    for name, size in sizes.items():
        print(f"  {name:<{width}}{size:8.1f} MB")


def _name(model: str) -> str:
    """What a model, or an ensemble, is called: by its folders."""
    paths = [Path(part).resolve() for part in model.split(",")]
    return "+".join(path.parent.name if path.is_file() else path.name for path in paths)


def _decode(captioner: Captioner, photos: Sequence[str]) -> list[Pixels]:
    """Pixels of up to 200 photos, taken evenly from all; those that cannot be shown are left out."""
    count = min(_PHOTOS, len(photos))
    chosen = [photos[number * len(photos) // count] for number in range(count)]
    decoded = decode_ahead(chosen, captioner.transform.pixels)
    bar = tqdm(decoded, total=count, desc="photos", unit="img", disable=None)
    return [item.pixels for item in bar if item.pixels is not None]


def _compare(captioner: Captioner, folder: Path, pixels: Sequence[Pixels]) -> None:
    """Tell on how many photos the exported model says what PyTorch says."""
    from showtell.runtime.captioner import ExportedCaptioner

    exported = ExportedCaptioner(folder)
    ours, theirs = ([found[0].text for found in m.caption_pixels(pixels)] for m in (captioner, exported))
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    print(f"{same} of {len(pixels)} captions by {exported.runtime} are those of PyTorch")
