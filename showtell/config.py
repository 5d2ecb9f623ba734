"""Every setting of a run, with its default, as frozen dataclasses.

The docstring under a field is its help text on the command line (read by jsonargparse). A section checks
its own values when it is made; `RunConfig` checks those that concern several sections. So a run that
starts has been validated as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from showtell.errors import ConfigError

DatasetFormat = Literal["auto", "scenes", "coco", "karpathy", "flickr8k", "csv", "jsonl", "folder"]
DecoderKind = Literal["topdown", "attention", "pooled"]
Cell = Literal["lstm", "gru"]
Precision = Literal["auto", "bf16", "fp32"]
View = Literal[
    "full",
    "flip",
    "crop",
    "crop-flip",
    "small",
    "small-flip",
    "random-1",
    "random-2",
    "random-3",
    "random-4",
    "random-5",
    "random-6",
]
References = Literal["person", "all"]
FeatureMode = Literal["cached", "online"]
FeatureType = Literal["float16", "int8"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class DatasetConfig:
    """One of several datasets that are trained on together; `DataConfig` checks the values."""

    root: str = ""
    """Folder of the dataset, or its annotation file; must be given."""
    format: DatasetFormat = "auto"
    """How the annotations are written; `auto` tells from the files."""
    images: str | None = None
    """Folder of the images, where it is not beside the annotations."""
    weight: float = 1.0
    """How often each of its training images comes in an epoch; 0.5 takes another half of them each epoch."""


def _to_dataset(item: str | DatasetConfig | dict[str, Any]) -> DatasetConfig:
    """An item of `data.root`.

    Raises:
        ConfigError: it has unknown keys.
    """
    if isinstance(item, DatasetConfig):
        return item
    if isinstance(item, str):
        return DatasetConfig(item)
    known = [each.name for each in fields(DatasetConfig)]
    unknown = sorted(set(map(str, item)) - set(known))
    _require(not unknown, f"data.root: a dataset has no {', '.join(unknown)}, only {', '.join(known)}")
    return DatasetConfig(**item)


def _check_dataset(dataset: DatasetConfig) -> None:
    _require(
        isinstance(dataset.root, str)
        and bool(dataset.root)
        and not dataset.root.lstrip().startswith(("{", "[")),
        f"data.root: {dataset.root or 'an entry without root'} is not a dataset; write {{root: FOLDER,"
        " format: coco, images: FOLDER, weight: 1}, the last three where they are needed",
    )
    formats = get_args(DatasetFormat)
    _require(
        dataset.format in formats,
        f"data.root: {dataset.root} has the format {dataset.format!r}; take one of {', '.join(formats)}",
    )
    _require(
        isinstance(dataset.images, str | None),
        f"data.root: images of {dataset.root} is {dataset.images!r}; name a folder",
    )
    _require(
        isinstance(dataset.weight, int | float) and 0 < dataset.weight <= 100,
        f"data.root: the weight of {dataset.root} must be over 0, at most 100",
    )


@dataclass(frozen=True)
class DataConfig:
    """The annotated photos to learn from."""

    root: str | list[str | DatasetConfig | dict[str, Any]] | None = None
    """Folder of the dataset, or its annotation file; or a list of several datasets, each a folder or
    {root, format, images, weight}. Without it: the embedded dataset of drawn scenes. A relative path is also
    looked for in the folders named by SHOWTELL_DATA (default: data:../shared/data)."""
    format: DatasetFormat = "auto"
    """How the annotations are written; `auto` tells from the files."""
    images: str | None = None
    """Folder of the images, where it is not beside the annotations."""
    model_captions: float = 1.0
    """Weight in the cross-entropy of captions that a model wrote (`"source": "model"` in COCO's annotations);
    0 leaves them out."""
    references: References = "person"
    """Captions that validation compares with: those that people wrote, or all."""
    num_scenes: int = 2400
    """Number of drawn scenes to make, where the embedded dataset is used."""
    val_fraction: float = 0.1
    """Share of the training images to validate on, where the dataset has no validation split."""
    test_fraction: float = 0.1
    """Share of the training images to set apart for testing, where the dataset has no test split."""
    tuning_fraction: float = 0.1
    """Share of the training images in the subset for hyperparameter tuning."""
    tuning: bool = False
    """Train on the subset for hyperparameter tuning only."""
    min_count: int | Literal["auto"] = "auto"
    """Words seen fewer times than this in the training captions become <unk>. `auto`: 5, of few captions
    fewer (below 20,000: 3, below 5,000: 2, below 1,000: 1)."""
    max_caption_length: int = 30
    """Longer training captions are cut to this many words."""
    skip_bad: bool = False
    """Drop and count unusable annotations, instead of stopping at the first."""
    seed: int = 0
    """Seed of the splits."""

    @property
    def datasets(self) -> list[DatasetConfig]:
        """The datasets to read; none for the drawn scenes."""
        if self.root is None:
            return []
        if isinstance(self.root, str):
            return [DatasetConfig(self.root, self.format, self.images)]
        return [_to_dataset(item) for item in self.root]

    def __post_init__(self) -> None:
        several = isinstance(self.root, list)
        _require(
            not several or len(self.root or ()) > 0,
            "data.root is an empty list; name a dataset, or leave it out",
        )
        _require(
            not several or (self.format == "auto" and self.images is None),
            "data.root is a list: give format and images there, {root: FOLDER, format: coco, images: FOLDER}",
        )
        for dataset in self.datasets:
            _check_dataset(dataset)
        _require(0 <= self.model_captions <= 1, "data.model_captions must be at least 0 and at most 1")
        for name in ("val_fraction", "test_fraction"):
            _require(0 <= getattr(self, name) < 1, f"data.{name} must be at least 0 and less than 1")
        _require(
            self.val_fraction + self.test_fraction < 1, "data.val_fraction + data.test_fraction must be < 1"
        )
        _require(0 < self.tuning_fraction <= 1, "data.tuning_fraction must be over 0 and at most 1")
        _require(
            self.min_count == "auto" or self.min_count >= 1, "data.min_count must be at least 1, or auto"
        )
        _require(self.max_caption_length >= 1, "data.max_caption_length must be at least 1")
        _require(self.num_scenes >= 20, "data.num_scenes must be at least 20")


@dataclass(frozen=True)
class EncoderConfig:
    """The frozen image encoder."""

    weights: str = "resnet50-imagenet"
    """A folder in models/, a local `transformers` folder, a hub id, or a torchvision resnet `.pth` file."""
    image_size: int = 224
    """Side in pixels that square images are resized to; others keep their proportions, at the same area
    (random and cropped views, and all of `online` training, are squares)."""
    precision: Precision = "auto"
    """Number format to compute in; `auto` takes bf16 where the machine is fast at it."""

    def __post_init__(self) -> None:
        _require(self.image_size >= 32, "encoder.image_size must be at least 32")


@dataclass(frozen=True)
class CacheConfig:
    """The cache of image features."""

    views: tuple[View, ...] = ("full",)
    """Views of each training image to cache; each epoch takes one of them at random. `full` is the whole
    picture, `crop` its middle, `small` the whole at 7/9 of the size (224 for 288), `flip`, `crop-flip` and
    `small-flip` are these mirrored, `random-N` are random crops."""
    dir: str = "cache"
    """Folder of the cache."""
    dtype: FeatureType = "float16"
    """How features are stored; `int8` takes half the disk, with 256 levels for each cell of a picture."""
    exported: str | None = None
    """Folder of an exported model of the same encoder (`showtell export`), which makes the features in place
    of PyTorch: in int8 two to three times as fast. A decoder learns best from what will serve it."""

    def __post_init__(self) -> None:
        _require(len(self.views) > 0, "cache.views must name at least one view")
        _require(len(set(self.views)) == len(self.views), "cache.views must not repeat a view")


@dataclass(frozen=True)
class DecoderConfig:
    """The recurrent decoder."""

    kind: DecoderKind = "topdown"
    """`pooled`: Show and Tell. `attention`: Show, Attend and Tell. `topdown`: two recurrent layers around
    attention, trained on all time steps at once (fast)."""
    cell: Cell = "lstm"
    """Recurrent cell."""
    embedding_dim: int = 384
    """Size of a word's embedding."""
    hidden_dim: int = 384
    """Size of the recurrent state."""
    attention_dim: int = 384
    """Size of the attention's keys and values."""
    attention_heads: int = 4
    """Heads of the attention of `topdown`."""
    dropout: float = 0.3
    """Dropout before the words' logits; `topdown` and `pooled` also drop words and hidden states."""

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "hidden_dim", "attention_dim", "attention_heads"):
            _require(getattr(self, name) >= 1, f"decoder.{name} must be at least 1")
        _require(0 <= self.dropout < 1, "decoder.dropout must be at least 0 and less than 1")
        _require(
            self.attention_dim % self.attention_heads == 0,
            "decoder.attention_dim must be a multiple of decoder.attention_heads",
        )


@dataclass(frozen=True)
class TrainingConfig:
    """The optimisation."""

    epochs: int = 15
    """Epochs at most."""
    batch_size: int = 64
    """Images a batch at most, over all devices, each with all of its captions; all batches of an epoch are of
    the same size, or one less."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW, reached after the warm-up, then lowered to zero by a cosine."""
    weight_decay: float = 0.01
    """Weight decay of AdamW (matrices only)."""
    warmup: float = 0.03
    """Share of all steps over which the learning rate rises."""
    label_smoothing: float = 0.1
    """Share of the probability that the loss spreads over all words."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    patience: int = 5
    """Stop after this many epochs in a row without a lower validation loss; 0 to never stop early."""
    precision: Precision = "auto"
    """Number format of the decoder's matrix products; `auto` takes bf16 where the machine is fast at it."""
    checkpoint_minutes: float = 10.0
    """Minutes between two checkpoints within an epoch; there is one after each epoch anyway."""
    num_workers: int = 0
    """Processes that load batches beside the training process (`online` features and slow disks)."""
    seed: int = 0
    """Seed of the weights, the order of the batches and dropout."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _require(getattr(self, name) >= 1, f"training.{name} must be at least 1")
        _require(self.learning_rate > 0, "training.learning_rate must be over 0")
        for name in ("weight_decay", "gradient_clip", "patience", "num_workers", "checkpoint_minutes"):
            _require(getattr(self, name) >= 0, f"training.{name} must be at least 0")
        for name in ("warmup", "label_smoothing"):
            _require(0 <= getattr(self, name) < 1, f"training.{name} must be at least 0 and less than 1")


@dataclass(frozen=True)
class FineTuningConfig:
    """The optimisation where training starts from a model (`init`).

    These settings take the place of the defaults of `training`; a value that is set there counts.
    """

    epochs: int = 10
    """Epochs at most."""
    batch_size: int = 16
    """Images a batch at most, over all devices."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    patience: int = 3
    """Stop after this many epochs in a row without a lower validation loss; 0 to never stop early."""
    distillation: float = 0.3
    """Share of the loss that holds the model to the word probabilities of the one that it started from: more
    keeps more of what that knew."""
    mixing: float = 0.8
    """Share of the trained weights in those that are validated and saved; the rest are those of the start.
    Less keeps more of what the start knew; 1 is the trained model itself."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _require(getattr(self, name) >= 1, f"finetune.{name} must be at least 1")
        _require(self.learning_rate > 0, "finetune.learning_rate must be over 0")
        _require(self.patience >= 0, "finetune.patience must be at least 0")
        _require(0 <= self.distillation < 1, "finetune.distillation must be at least 0 and less than 1")
        _require(0 < self.mixing <= 1, "finetune.mixing must be over 0 and at most 1")

    def applied_to(self, training: TrainingConfig) -> TrainingConfig:
        """The settings of `training` with these in place of its defaults."""
        usual, ours = TrainingConfig(), FineTuningConfig()
        taken = {
            name: getattr(self, name)
            for name in ("epochs", "batch_size", "learning_rate", "patience")
            if getattr(training, name) == getattr(usual, name) or getattr(self, name) != getattr(ours, name)
        }
        return replace(training, **taken)


@dataclass(frozen=True)
class TrainerConfig:
    """The processes that train together; each takes its share of every batch."""

    devices: int | Literal["auto"] = "auto"
    """GPUs of a machine (without any: processes). `auto`: as many as torchrun or srun started, else one."""
    num_nodes: int | Literal["auto"] = "auto"
    """Machines. `auto`: as torchrun or srun says, else one."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes"):
            value = getattr(self, name)
            _require(value == "auto" or value >= 1, f"trainer.{name} must be at least 1, or auto")


@dataclass(frozen=True)
class SelfCriticalConfig:
    """Self-critical training, after the other: captions are drawn and rewarded by their CIDEr-D."""

    epochs: int = 0
    """Epochs; 0 leaves it out."""
    learning_rate: float = 1e-4
    """Learning rate of AdamW at the start; it falls linearly to a tenth."""
    samples: int = 5
    """Captions drawn for an image; each is judged against the mean of the others."""
    temperature: float = 0.7
    """What the logits are divided by, both where captions are drawn and where their probability is raised.
    Below 1 it takes away the share that label smoothing has given to all words."""
    max_length: int = 18
    """Words of a drawn caption at most."""
    references: References = "person"
    """Captions that rewards compare with: those that people wrote, or all."""
    min_references: int = 1
    """Images with fewer such captions are left out of self-critical training."""
    cross_entropy: float = 0.3
    """Weight of the cross-entropy mixed in: it keeps the words and the length of people's captions."""

    def __post_init__(self) -> None:
        for name in ("epochs", "cross_entropy"):
            _require(getattr(self, name) >= 0, f"self_critical.{name} must be at least 0")
        for name in ("learning_rate", "temperature"):
            _require(getattr(self, name) > 0, f"self_critical.{name} must be over 0")
        _require(self.samples >= 2, "self_critical.samples must be at least 2")
        _require(self.min_references >= 1, "self_critical.min_references must be at least 1")
        _require(self.max_length >= 1, "self_critical.max_length must be at least 1")


@dataclass(frozen=True)
class SearchConfig:
    """How words are chosen."""

    beam_size: int = 3
    """Beams of the beam search; 1 is greedy."""
    num_captions: int = 1
    """Captions an image, best first."""
    max_length: int = 20
    """Words a caption at most."""
    min_length: int = 1
    """Words a caption at least."""
    length_penalty: float = 0.6
    """Captions are ranked by log-probability / length ** length_penalty; 0 ranks by log-probability alone."""
    block_ngram: int = 3
    """No sequence of this many words is repeated in a caption; 0 to allow it."""
    diversity: float = 0.0
    """Of several captions: what a word loses in log-probability for each beam of the captions before that
    says it at the same place. Over 0, each caption has `beam_size` beams of its own (diverse beam search)."""
    sample: bool = False
    """Draw words at random instead of searching the likeliest caption."""
    temperature: float = 1.0
    """Of sampling: below 1 is more cautious."""
    top_k: int = 0
    """Of sampling: draw from this many likeliest words; 0 for all."""
    top_p: float = 1.0
    """Of sampling: draw from the likeliest words that hold this much of the probability (nucleus)."""
    draws: int = 0
    """Of sampling: captions drawn, of which the `num_captions` likeliest are kept; 0 draws no more than
    these."""
    seed: int = 0
    """Of sampling."""

    def __post_init__(self) -> None:
        for name in ("beam_size", "num_captions", "max_length"):
            _require(getattr(self, name) >= 1, f"search.{name} must be at least 1")
        for name in ("min_length", "length_penalty", "block_ngram", "diversity", "top_k", "draws"):
            _require(getattr(self, name) >= 0, f"search.{name} must be at least 0")
        _require(self.min_length <= self.max_length, "search.min_length must be at most search.max_length")
        _require(self.block_ngram != 1, "search.block_ngram must not be 1: no word could come twice")
        _require(0 < self.top_p <= 1, "search.top_p must be over 0 and at most 1")
        _require(self.temperature > 0, "search.temperature must be over 0; for greedy use beam_size 1")
        _require(
            self.sample or self.diversity > 0 or self.num_captions <= self.beam_size,
            "search.num_captions must be at most search.beam_size (raise search.beam_size, or sample)",
        )
        _require(
            not (self.sample and self.diversity),
            "search.diversity is for beam search: leave it out, or search.sample",
        )
        _require(
            not self.draws or self.sample, "search.draws is for sampling: leave it out, or set search.sample"
        )
        _require(
            not self.draws or self.draws >= self.num_captions,
            "search.draws must be at least search.num_captions",
        )


@dataclass(frozen=True)
class ServingConfig:
    """The limits of a service, and how it batches."""

    max_bytes: int = 20 * 2**20
    """Bytes a picture at most."""
    max_pixels: int = 48 * 2**20
    """Pixels of an image at most: 48 megapixels, such as 8064 x 6048."""
    max_images: int = 16
    """Pictures a request at most."""
    max_request_bytes: int = 64 * 2**20
    """Bytes a request at most, all of its pictures together."""
    queue_length: int = 256
    """Pictures that are taken and not yet captioned at most; more are refused (503)."""
    upload_memory: int = 512 * 2**20
    """Bytes of requests that are held at most; more are refused (503)."""
    time_limit: float = 30.0
    """Seconds a request at most, its upload included."""
    decode_seconds: float = 8.0
    """Seconds of processor time that decoding an image may take at most."""
    batch_size: int = 32
    """Pictures captioned together at most."""
    max_wait: float = 0.005
    """Seconds that a batch waits at most for pictures which are being decoded."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_images", "queue_length", "batch_size"):
            _require(getattr(self, name) >= 1, f"serving.{name} must be at least 1")
        _require(self.time_limit > 0, "serving.time_limit must be over 0")
        _require(self.decode_seconds > 0, "serving.decode_seconds must be over 0")
        _require(self.max_wait >= 0, "serving.max_wait must be at least 0")
        _require(
            self.queue_length >= self.max_images, "serving.queue_length must be at least serving.max_images"
        )
        _require(
            self.max_request_bytes >= 4 / 3 * self.max_bytes,
            "serving.max_request_bytes must hold a picture of serving.max_bytes as base64: 4/3 of it",
        )
        _require(
            self.upload_memory >= self.max_request_bytes,
            "serving.upload_memory must be at least serving.max_request_bytes",
        )


@dataclass(frozen=True)
class RunConfig:
    """A training run: data, encoder, decoder, training and the search that validates it."""

    init: str = "auto"
    """Model to start from, with its encoder, decoder and words: a run, a folder in models/, or a hub id;
    `none` to train from scratch. `auto`: the model in the box, where there are fewer than 3,000 training
    photos and nothing else contradicts it."""
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    features: FeatureMode = "cached"
    """`cached`: every image through the encoder once, into a file. `online`: through random crop and flip
    and the encoder every epoch (the classic recipe; slow)."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    finetune: FineTuningConfig = field(default_factory=FineTuningConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    self_critical: SelfCriticalConfig = field(default_factory=SelfCriticalConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    out: str = "runs/scenes"
    """Folder that the run writes: model, checkpoint, logs, curves."""

    def __post_init__(self) -> None:
        _require(not self.search.sample, "search.sample is for captioning: a run is validated by beam search")

    @property
    def out_dir(self) -> Path:
        """The run's folder."""
        return Path(self.out)
