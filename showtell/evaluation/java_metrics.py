"""METEOR and SPICE, through `pycocoevalcap`, if Java and the files they need are present."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from showtell.data.tokenizer import tokenize
from showtell.errors import UsageError

log = logging.getLogger(__name__)

_NO_WORDS = "unsaid-caption"  # METEOR and SPICE fail at an empty line: a word that no reference has
Texts = dict[int, list[str]]


def java_scores(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> tuple[dict[str, tuple[float, list[float]]], dict[str, str]]:
    """METEOR (Denkowski and Lavie 2014) and SPICE (Anderson et al. 2016), those of them that can run here.

    Nothing is downloaded.

    Args:
        captions: image id -> caption.
        references: image id -> human captions, at least of these images.

    Returns:
        Name -> (score of the corpus, scores of the images in the order of `captions`); and name -> why it
        is left out.
    """
    results: dict[str, tuple[float, list[float]]] = {}
    skipped_metrics: dict[str, str] = {}
    candidates: Texts = {
        n: [" ".join(tokenize(text)) or _NO_WORDS] for n, text in enumerate(captions.values())
    }
    reference_texts: Texts = {
        n: [" ".join(tokenize(text)) for text in references[i]] for n, i in enumerate(captions)
    }
    scorers: dict[
        str, tuple[Callable[[], str | None], Callable[[Texts, Texts], tuple[float, list[float]]]]
    ] = {
        "METEOR": (_without_meteor, _meteor),
        "SPICE": (_without_spice, _spice),
    }
    for name, (missing, score) in scorers.items():
        reason = missing()
        if reason is None:
            try:
                results[name] = score(reference_texts, candidates)
            except (OSError, ValueError, AssertionError, subprocess.SubprocessError) as error:
                reason = f"it failed: {' '.join(str(error).split()) or type(error).__name__}"
        if reason is not None:
            skipped_metrics[name] = reason
    return results, skipped_metrics


def missing_java_metrics() -> dict[str, str | None]:
    """METEOR and SPICE, each with the reason why it cannot run here; None if it can."""
    return {"METEOR": _without_meteor(), "SPICE": _without_spice()}


def _without_java() -> str | None:
    return None if shutil.which("java") else "no Java here: install a Java runtime, 8 or later"


def _package() -> Path:
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("pycocoevalcap is not installed: pip install pycocoevalcap")
    return Path(spec.submodule_search_locations[0])


def _without_meteor() -> str | None:
    folder = _package() / "meteor"
    if not (folder / "meteor-1.5.jar").is_file():
        return "its meteor-1.5.jar is not in pycocoevalcap: install that again"
    return _without_java()


def _without_spice() -> str | None:
    library = _package() / "spice" / "lib"
    models = [library / f"stanford-corenlp-3.6.0{part}.jar" for part in ("", "-models")]
    if not all(model.is_file() for model in models):
        return "its Stanford models are not here: run pycocoevalcap/spice/get_stanford_models.py once"
    return _without_java()


def _meteor(references: Texts, candidates: Texts) -> tuple[float, list[float]]:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        score, scores = scorer.compute_score(references, candidates)
    finally:
        process = scorer.meteor_p
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        process.wait()
    return float(score), [float(value) for value in scores]


def _spice(references: Texts, candidates: Texts) -> tuple[float, list[float]]:
    from pycocoevalcap.spice.spice import Spice

    score, details = Spice().compute_score(references, candidates)
    return float(score), [float(item["All"]["f"]) for item in details]
