"""Prepare a dataset: annotations -> vocabulary, splits, statistics page, cached features.

Training runs these steps itself; use this command to inspect a dataset, or to extract features beforehand.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Final

from jsonargparse import Namespace

from showtell.commands.shared.parser import Parser
from showtell.commands.shared.run_options import add_run_arguments, to_run_config
from showtell.config import RunConfig
from showtell.data.prepare import PreparedData, prepare_data
from showtell.data.splits import tuning_subset
from showtell.data.statistics import DatasetStatistics, dataset_statistics, write_statistics_page
from showtell.data.summary import log_summary
from showtell.data.tokenizer import tokenize
from showtell.errors import UsageError
from showtell.utils.files import require_writable, write_atomic

log = logging.getLogger(__name__)


_UNUSED: Final = (
    *("decoder", "training", "finetune", "self_critical", "distillation", "trainer", "search"),
    *("data.model_captions", "data.references", "data.max_caption_length"),
)
EXAMPLES: Final = (
    ("{prog} --data my_photos/", "a statistics page, and features for training"),
    ("{prog} --config configs/flickr8k.yaml --extract false", "the page only"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell preprocess`."""
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        type=str,
        default=None,
        help="folder of the statistics page (default: reports/<dataset>)",
    )
    parser.add_argument(
        "--extract", metavar="true|false", type=bool, default=True, help="cache the images' features too"
    )
    add_run_arguments(
        parser,
        unused=_UNUSED,
        plain=("init",),
    )


def run(parser: Parser, args: Namespace) -> None:
    """Preprocess."""
    from showtell.utils.devices import log_gpu_memory  # torch takes seconds: help is displayed at once

    config = to_run_config(parser, args)
    require_writable(Path(args.report or "reports"), UsageError)
    data = prepare_data(config.data, Path(config.cache.dir))
    log_summary(data)
    folder = Path(args.report or Path("reports", data.name))
    stats = dataset_statistics(data.images, tokenize=tokenize, min_count=data.min_count)
    _show_coverage(stats)
    tuning = data.train
    if not config.data.tuning:
        tuning = tuning_subset(data.images, config.data.tuning_fraction, config.data.seed)
    _write_splits(folder, data, [image.image_id for image in tuning])
    write_atomic(folder / "vocabulary.json", data.vocabulary.to_json() + "\n")
    page = write_statistics_page(stats, folder, f"{data.name} captions")
    log.info("\nStatistics for people: %s\nVocabulary and splits: beside it", page)
    log_gpu_memory("after reading the annotations")
    if args.extract:
        _extract(config, data)


def _extract(config: RunConfig, data: PreparedData) -> None:
    """Cache the features that training will ask for: by the encoder of the model that it starts from."""
    from showtell.features.extraction import extract_features, feature_encoder
    from showtell.features.store import FeatureStore
    from showtell.training.initial_model import encoder_of, load_initial
    from showtell.utils.gpu_memory import MemoryByStage, find_gpu

    initial = load_initial(config, data)
    if initial is not None:
        config = initial.run_config(config)
    encoder = encoder_of(config.encoder, initial)
    store = FeatureStore(Path(config.cache.dir), feature_encoder(config.cache, encoder), config.cache.dtype)
    with MemoryByStage(find_gpu()).stage("extracting features"):
        extract_features(store, data.train + data.val, config.cache.views, skip_bad=config.data.skip_bad)
    log.info("Features are cached in %s", store.folder)


def _show_coverage(stats: DatasetStatistics) -> None:
    log.info("%10s %8s %16s %16s", "min_count", "words", "of all words", "captions whole")
    for row in stats.coverage:
        mark = "  <- data.min_count" if row.min_count == stats.min_count else ""
        shares = f"{100 * row.tokens:14.2f} % {100 * row.captions:14.2f} %"
        log.info("%10d %8s %s%s", row.min_count, f"{row.words:,}", shares, mark)


def _write_splits(folder: Path, data: PreparedData, tuning: list[str]) -> None:
    """Write splits.json: the ids of the images of each split, and of the subset for tuning."""
    parts = {"train": data.train, "val": data.val, "test": data.test}
    ids = {name: [image.image_id for image in images] for name, images in parts.items()}
    write_atomic(folder / "splits.json", json.dumps(ids | {"tuning": tuning}, indent=1) + "\n")
