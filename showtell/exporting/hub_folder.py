"""A model as a folder in the hub's conventions: card, weights, configuration, licences."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Final

from showtell import __version__
from showtell.captioning.captioner import Captioner
from showtell.checkpoints.hub_metadata import CONFIG, PREPROCESSOR, model_config, preprocessor_config
from showtell.checkpoints.model_file import exact_half, read_model
from showtell.checkpoints.run_summary import read_run
from showtell.config import SearchConfig
from showtell.errors import ShowtellError, UsageError
from showtell.exporting.model_card import CARD, ENCODER_LICENSE, make_card
from showtell.utils.files import atomic_folder
from showtell.utils.shipped import find_model

LICENSE: Final = "LICENSE"
_PLOTS: Final = ("reliability.png", "scores.png")


def check_hub_target(folder: Path) -> None:
    """Check that a hub folder may be written there: nothing is there, or an empty folder.

    Unlike an export of graphs it replaces no earlier one: its card is there to be edited.

    Raises:
        UsageError: there is something, or it is the working directory.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name another folder")
    first = min(folder.iterdir(), default=None)
    if first is not None:
        raise UsageError(f"{folder}: is not empty ({first.name}); move it away, or name another folder")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder}: is the folder you are in; go to another, or name another")


def write_hub_folder(
    captioner: Captioner, source: Path, name: str, folder: Path, language: str | None = None
) -> None:
    """Write a captioner as a hub folder, whole or not at all.

    Args:
        captioner: not an ensemble.
        source: folder that it was loaded from; its card, licence, history and plots are taken along.
        name: of the model, for its card.
        folder: made.
        language: of the captions, for the card; see `make_card`.

    Raises:
        UsageError: there is something else in the folder, or the source's card or settings are damaged.
        ModelError: it is an ensemble.
        ShowtellError: the folder cannot be written.
    """
    check_hub_target(folder)
    folder = folder.resolve()
    try:
        with atomic_folder(folder, replace=False) as fresh:
            _write(captioner, source, name, fresh, language)
    except OSError as error:
        raise ShowtellError(
            f"{folder}: cannot be written ({error.strerror or error}); name another folder"
        ) from error


def _write(captioner: Captioner, source: Path, name: str, folder: Path, language: str | None) -> None:
    run = read_run(source)
    _save(captioner, folder)
    header = read_model(str(folder))[1]
    search = asdict(SearchConfig()) if run is None else run.settings.get("search", {})
    about = {**model_config(header), "search": search, "showtell_version": __version__}
    for file, values in ((CONFIG, about), (PREPROCESSOR, preprocessor_config(header))):
        (folder / file).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    encoder = find_model(captioner.encoder_name)
    if encoder is not None and (encoder / LICENSE).is_file():
        shutil.copyfile(encoder / LICENSE, folder / ENCODER_LICENSE)
    for taken in (LICENSE, ENCODER_LICENSE, *_PLOTS):  # the source's own go before
        if (source / taken).is_file():
            shutil.copyfile(source / taken, folder / taken)
    card = make_card(captioner, source, name, run, {path.name for path in folder.iterdir()}, language)
    (folder / CARD).write_text(card, encoding="utf-8")


def _save(captioner: Captioner, folder: Path) -> None:
    """Save the whole model: in fp16 what is exact in it, and without a path of this machine in its header."""
    decoder = captioner.decoder.state_dict().values()
    half = all(exact_half(tensor).dtype != tensor.dtype for tensor in decoder if tensor.is_floating_point())
    named = Path(captioner.encoder_name)
    name = named.name if named.is_absolute() or named.exists() else captioner.encoder_name
    words, calibration = captioner.vocabulary, captioner.calibration
    public = Captioner(captioner.encoder, captioner.decoder, words, name, calibration)
    public.save(folder, with_encoder=True, half=half)
