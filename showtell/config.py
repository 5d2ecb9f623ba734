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
DEVICE_VARIABLE = "SHOWTELL_DEVICE"
"""Environment variable that names the device of a process and of those that it starts; see `pick_device`."""
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
FeatureMode = Literal["auto", "cached", "memory", "online"]
Segmentation = Literal["spaces", "characters"]
Runtime = Literal["auto", "torch", "onnx", "openvino"]
"""What runs a model; `auto` takes the fastest one that can."""
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
    """The photos and captions to learn from."""

    root: str | list[str | DatasetConfig | dict[str, Any]] | None = None
    """Folder of the dataset, or its annotation file; in YAML also a list of datasets, each a folder or
    {root, format, images, weight}. Without it: drawn scenes, which are made. A relative path is also looked
    for in the folders that SHOWTELL_DATA names (default: data:../shared/data)."""
    format: DatasetFormat = "auto"
    """How the annotations are written; `auto` tells from the files."""
    images: str | None = None
    """Folder of the images, where it is not beside the annotations."""
    model_captions: float = 1.0
    """Weight, in the cross-entropy, of captions that a model wrote (`"source": "model"` in COCO's
    annotations), 0 to 1; 0 leaves them out."""
    references: References = "person"
    """References of validation: the captions that people wrote, or all."""
    segmentation: Segmentation = "spaces"
    """What separates words: `spaces`; or, for scripts without them (Chinese, Japanese, Thai), `characters`:
    each is a word of its own."""
    num_scenes: int = 2400
    """Images of drawn scenes to make, where no dataset is named."""
    val_fraction: float = 0.1
    """Fraction of the training images to validate on, where the dataset has no validation split."""
    test_fraction: float = 0.1
    """Fraction of the training images to test on, where the dataset has no test split."""
    tuning_fraction: float = 0.1
    """Fraction of the training images in the subset for hyperparameter tuning."""
    tuning: bool = False
    """Train on the subset for hyperparameter tuning only."""
    min_count: int | Literal["auto"] = "auto"
    """Words that occur fewer times than this in the training captions become <unk>. `auto`: 5, or 3 below
    20,000 captions, 2 below 5,000, 1 below 1,000."""
    max_caption_length: int = 30
    """Training captions are cut to this many words."""
    skip_bad: bool = False
    """Drop and count unusable annotations, instead of stopping at the first."""
    seed: int = 0
    """Random seed of the splits."""

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
    """Views of each training image whose features are cached; each epoch uses one of them, at random. `full`:
    the whole image, `crop`: its centre, `small`: the whole at 7/9 of the size (224 for 288), `flip`,
    `crop-flip`, `small-flip`: these mirrored, `random-N`: random crops."""
    dir: str = "cache"
    """Folder of the cached features."""
    dtype: FeatureType = "float16"
    """Number format of the cached features; `int8` takes half the disk, with 256 levels for each grid
    cell."""
    exported: str | None = None
    """Folder of an exported model (`showtell export`) of the same encoder, which computes the features in
    place of PyTorch: in int8 two to three times as fast. A decoder that will run with an exported encoder
    is best trained on its features."""

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
    """Kind of the recurrent layers."""
    embedding_dim: int = 384
    """Size of the word embeddings."""
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
    """Passes over the training images, at most."""
    batch_size: int = 64
    """Images in a batch at most, over all devices, each with all of its captions; the batches of an epoch
    differ by one image at most."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW, reached after the warm-up, then lowered to zero by a cosine."""
    weight_decay: float = 0.01
    """Weight decay of AdamW (matrices only)."""
    warmup: float = 0.03
    """Fraction of all steps over which the learning rate rises."""
    label_smoothing: float = 0.1
    """Fraction of the target probability that is spread over all words."""
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
    """Passes over the training images, at most."""
    batch_size: int = 16
    """Images in a batch at most, over all devices."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    patience: int = 3
    """Stop after this many epochs in a row without a lower validation loss; 0 to never stop early."""
    distillation: float = 0.3
    """Weight, in the loss, of the distance to the word probabilities of the initial model (distillation);
    more keeps more of what that model knew."""
    mixing: float = 0.8
    """Weight of the trained parameters in the mean with the initial ones, which is validated and saved; less
    keeps more of what the initial model knew, 1 is the trained model itself."""

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
    """GPUs to train on, a process each (on the CPU: processes). `auto`: as many as torchrun or srun
    started, else one."""
    num_nodes: int | Literal["auto"] = "auto"
    """Machines to train on. `auto`: as torchrun or srun says, else one."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes"):
            value = getattr(self, name)
            _require(value == "auto" or value >= 1, f"trainer.{name} must be at least 1, or auto")


@dataclass(frozen=True)
class SelfCriticalConfig:
    """Self-critical training, after that with cross-entropy: CIDEr-D rewards sampled captions."""

    epochs: int = 0
    """Epochs; 0 leaves it out."""
    learning_rate: float = 1e-4
    """Learning rate of AdamW at the start; it falls linearly to a tenth."""
    samples: int = 5
    """Captions sampled for an image; the baseline of each is the mean reward of the others."""
    temperature: float = 0.7
    """Temperature of the sampled captions and of their log-probabilities in the loss. Below 1 it undoes what
    label smoothing has given to all words."""
    max_length: int = 18
    """Words in a sampled caption, at most."""
    references: References = "person"
    """References of the rewards: the captions that people wrote, or all."""
    min_references: int = 1
    """Images with fewer references are left out of self-critical training."""
    cross_entropy: float = 0.3
    """Weight of the cross-entropy in the loss; it keeps the words and the length of people's captions."""

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
    """The search for captions: beam search, or sampling."""

    beam_size: int = 3
    """Beams of the beam search; 1 is greedy search."""
    num_captions: int = 1
    """Captions for an image, best first."""
    max_length: int = 20
    """Words in a caption, at most."""
    min_length: int = 1
    """Words in a caption, at least."""
    length_penalty: float = 0.8
    """Exponent p: captions are ranked by log-probability / length ** p; 0 ranks by log-probability alone."""
    block_ngram: int = 3
    """No sequence of so many words comes twice in a caption; 0 allows it."""
    diversity: float = 0.0
    """Of several captions (diverse beam search): penalty subtracted from a word's log-probability for
    each beam of the captions before which has it at this place. Over 0, each caption has `beam_size`
    beams of its own; 0.5 makes captions differ."""
    sample: bool = False
    """Sample words at random, instead of searching the most likely caption."""
    temperature: float = 1.0
    """Of sampling: what the logits are divided by; below 1 is more cautious."""
    top_k: int = 0
    """Of sampling: choose among so many most likely words; 0 among all."""
    top_p: float = 1.0
    """Of sampling: choose among the most likely words that hold this much of the probability (nucleus)."""
    draws: int = 0
    """Of sampling: captions to sample, of which the `num_captions` most likely are kept; 0 samples exactly
    `num_captions`."""
    seed: int = 0
    """Of sampling: random seed; another one gives other captions."""

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
    """Bytes in a photo, at most."""
    max_pixels: int = 48 * 2**20
    """Pixels in a photo, at most: 48 megapixels, such as 8064 x 6048."""
    max_images: int = 16
    """Photos in a request, at most."""
    max_request_bytes: int = 64 * 2**20
    """Bytes in a request at most, all of its photos together."""
    queue_length: int = 256
    """Photos that wait for their captions, at most; more are refused (503)."""
    upload_memory: int = 512 * 2**20
    """Bytes of requests held in memory, at most; more are refused (503)."""
    time_limit: float = 30.0
    """Seconds for a request at most, with its upload; a shutdown waits as long."""
    decode_seconds: float = 8.0
    """Seconds of processor time that decoding a photo may take, at most."""
    batch_size: int = 32
    """Photos captioned together, at most."""
    max_wait: float = 0.005
    """Seconds that a batch waits for photos which are being decoded, at most."""

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
    """A training run: its data, model, training, and the search of its validation."""

    init: str = "auto"
    """Model to start from, with its encoder, decoder and vocabulary: a run, a folder in models/, or a hub id;
    `none` trains from scratch. `auto`: the model in the box, where there are fewer than 3,000 training photos
    and no other setting contradicts it."""
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    features: FeatureMode = "auto"
    """`cached`: the features of every image are computed once and stored. `memory`: they are computed once,
    and stay in the memory of the device that trains. `auto`: `memory` on a GPU that has room, else `cached`.
    `online`: they are computed in every epoch, from random crops and flips (slow)."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    finetune: FineTuningConfig = field(default_factory=FineTuningConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    self_critical: SelfCriticalConfig = field(default_factory=SelfCriticalConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    out: str = "runs/scenes"
    """Folder of the run: its model, checkpoint, logs and curves."""

    def __post_init__(self) -> None:
        _require(not self.search.sample, "search.sample is for captioning: a run is validated by beam search")

    @property
    def out_dir(self) -> Path:
        """The run's folder."""
        return Path(self.out)
