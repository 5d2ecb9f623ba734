"""The model card of a hub folder: the model's own, or one generated from its run."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from showtell import __version__
from showtell.captioning.captioner import Captioner
from showtell.checkpoints.run_summary import RunSummary
from showtell.decoder import single_decoder
from showtell.errors import UsageError
from showtell.utils.files import read_small
from showtell.utils.yaml_files import check_aliases

if TYPE_CHECKING:  # imported where it is used: it is not needed for graphs
    from huggingface_hub import ModelCardData

CARD: Final = "README.md"
ENCODER_LICENSE: Final = "LICENSE-encoder"
_PRIVATE: Final = ("root", "images")
_KNOWN: Final = ("flickr8k", "flickr30k", "coco")
_ENGLISH: Final = ("a", "in", "the", "with")
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def make_card(
    captioner: Captioner,
    source: Path,
    name: str,
    run: RunSummary | None,
    files: Collection[str],
    language: str | None = None,
) -> str:
    """The text of README.md, with the hub's metadata.

    Args:
        captioner: the model.
        source: its folder; a card in it is kept, with the metadata that it leaves out.
        name: of the model.
        run: the summary of its run, if there is one.
        files: names of those in the hub folder. Links of a card that lead elsewhere become plain text.
        language: of the captions, as the hub names it (ISO 639: `de`); None: that of a card that is kept,
            else `en` if the model has the most common English words, else none.

    Raises:
        UsageError: the metadata of the model's own card are damaged.
    """
    from huggingface_hub import ModelCard

    data = _metadata(name, run, language or _language_of(captioner))
    if (source / CARD).is_file():
        return _kept(source / CARD, data, files, language)
    template = (resources.files("showtell.exporting") / "model_card.md").read_text(encoding="utf-8")
    decoder = single_decoder(captioner.decoder)
    card = ModelCard.from_template(
        data,
        template_str=template,
        name=name,
        version=__version__,
        decoder=decoder.config,
        millions=sum(p.numel() for p in decoder.parameters()) / 1e6,
        encoder=Path(captioner.encoder_name).name,
        words=len(captioner.vocabulary.words),
        calibrated=captioner.calibration is not None,
        run=run,
        recipe=_recipe(run) if run else "",
        files=files,
        encoder_license=ENCODER_LICENSE,
    )
    return f"{card}\n"


def _language_of(captioner: Captioner) -> str | None:
    """`en` if the most common words of English captions are in the vocabulary."""
    return "en" if all(word in captioner.vocabulary for word in _ENGLISH) else None


def _metadata(name: str, run: RunSummary | None, language: str | None) -> ModelCardData:
    """The metadata by which the hub sorts and filters."""
    from huggingface_hub import EvalResult, ModelCardData

    dataset = run.dataset if run else ""
    known = [each for each in _KNOWN if each in dataset.lower()]
    results = [
        EvalResult(
            task_type="image-to-text",
            task_name="Image captioning",
            dataset_type=known[0] if len(known) == 1 else dataset,
            dataset_name=dataset,
            dataset_split="validation",
            metric_type=score.partition("-")[0].lower(),
            metric_name=score,
            metric_value=round(value, 4),
        )
        for score, value in (run.scores if run else {}).items()
    ]
    return ModelCardData(
        language=language,
        library_name="showtell",
        pipeline_tag="image-to-text",
        tags=["image-captioning", "showtell"],
        datasets=known or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=name,
        eval_results=results or None,
    )


def _kept(path: Path, data: ModelCardData, files: Collection[str], language: str | None) -> str:
    """A card that is there already, with what its metadata leave out."""
    from huggingface_hub import ModelCard

    try:
        text = read_small(path).decode("utf-8")
        check_aliases(text.split("\n---", 1)[0])  # the metadata stand first
        card = ModelCard(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: its metadata are damaged ({reason}); fix or remove them") from error
    for key, value in data.to_dict().items():  # type: ignore[no-untyped-call]
        if card.data.get(key) is None and key != "model-index":
            card.data[key] = value
    if language is not None:
        card.data["language"] = language
    card.text = _LINK.sub(lambda link: _link_within(link, files), card.text)
    return str(card)


def _link_within(link: re.Match[str], files: Collection[str]) -> str:
    """A link of the card as it is, or its text if it leads to a file that is not there."""
    image, text, target = link.groups()
    if "://" in target or target.startswith("#") or target.partition("#")[0] in files:
        return link[0]
    return "" if image else text


def _recipe(run: RunSummary) -> str:
    """The settings that made the model, without the paths of the machine that it was trained on."""
    sections = (
        "data",
        "features",
        "decoder",
        "training",
        "finetune",
        "self_critical",
        "distillation",
        "search",
    )
    settings: dict[str, Any] = {key: run.settings[key] for key in sections if key in run.settings}
    if run.initial is None:
        settings.pop("finetune", None)
    else:
        settings = {"init": run.initial} | settings
    if "data" in settings:
        settings["data"] = {k: v for k, v in settings["data"].items() if k not in _PRIVATE}
    if "distillation" in settings:
        teachers = [Path(teacher).name for teacher in settings["distillation"]["teachers"]]
        settings["distillation"] = {**settings["distillation"], "teachers": teachers}
    return yaml.safe_dump(settings, sort_keys=False)
