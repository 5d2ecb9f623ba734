"""Vision models of `transformers` as encoders: ViT, DINOv2, CLIP, ConvNeXt, Swin (extra `encoders`)."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor, nn

from showtell.encoder.backbone import GridNetwork
from showtell.errors import EncoderError, UsageError

KIND: Final = "transformers"
"""`kind` of the architecture of these networks in a model's file."""

PARTS: Final = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}
"""Models of images and texts, and the type of their vision part."""

MODEL_TYPES: Final = frozenset({
    "vit", "deit", "dinov2", "dinov2_with_registers", "clip_vision_model", "siglip_vision_model",
    "convnext", "convnextv2", "swin", "swinv2",
})  # fmt: skip
"""Vision models whose last hidden state is a grid, after tokens that are not of it."""

_RESAMPLED: Final = frozenset({"vit", "deit", "clip_vision_model", "siglip_vision_model"})
"""Models that resample their position embeddings on request; others always do."""
_MAX_SIZE: Final = 16_384


class TransformersNetwork(GridNetwork):
    """A vision model of `transformers`: its last hidden state, without class and register tokens.

    Args:
        config: of the model, as its `config.json` has it.
        model: the model with its weights; without, they are initialised at random.

    Raises:
        EncoderError: the configuration is not one of these models.
        UsageError: `transformers` is not installed.
    """

    def __init__(self, config: Mapping[str, Any], model: nn.Module | None = None) -> None:
        super().__init__()
        kind = str(config.get("model_type"))
        if kind not in MODEL_TYPES:
            raise EncoderError(
                f"a {kind!r} model has no grid that is known; take {', '.join(sorted(MODEL_TYPES))}"
            )
        transformers = _import()
        try:
            self._config: Any = transformers.AutoConfig.for_model(**config)
            self.model: Any = transformers.AutoModel.from_config(self._config) if model is None else model
        except Exception as error:  # a configuration of a file can raise about anything
            reason = " ".join(str(error).split())
            raise EncoderError(f"not the configuration of a {kind} model ({reason})") from error
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # nothing of it is in the grid
        self.stride = _stride(self._config, kind)
        self.requires_grad_(False).eval()

    @property
    def feature_dim(self) -> int:
        """Channels of the grid."""
        sizes = getattr(self._config, "hidden_sizes", None)
        return int(sizes[-1] if sizes else self._config.hidden_size)

    def grid_side(self, size: int) -> int:
        """Rows of the grid: pixels that fill no patch are left out (Swin fills them up)."""
        swin = self._config.model_type.startswith("swin")
        return -(-size // self.stride) if swin else max(1, size // self.stride)

    def architecture(self) -> dict[str, Any]:
        """The configuration, as JSON has it."""
        values: dict[str, Any] = json.loads(self._config.to_json_string(use_diff=True))
        values.pop("transformers_version", None)
        values.pop("dtype", None)
        return {"kind": KIND, "config": {"model_type": self._config.model_type, **values}}

    def forward(self, images: Tensor) -> Tensor:
        """See `GridNetwork.forward`."""
        options = {"interpolate_pos_encoding": True} if self._config.model_type in _RESAMPLED else {}
        hidden: Tensor = self.model(pixel_values=images, **options).last_hidden_state
        if hidden.dim() == 4:
            return hidden
        height, width = (self.grid_side(side) for side in images.shape[2:])
        cells = hidden[:, hidden.shape[1] - height * width :]
        return cells.transpose(1, 2).unflatten(2, (height, width))

    def folded(self) -> nn.Module:
        """A copy."""
        return copy.deepcopy(self)


def load_transformers_network(name: str, kind: str) -> TransformersNetwork:
    """A vision model of a local folder or hub id; of a model of images and texts, its vision part.

    Raises:
        EncoderError: it is of another type.
        OSError: there are no such weights.
    """
    transformers = _import()
    part = PARTS.get(kind, kind)
    if part not in MODEL_TYPES:
        known = ", ".join(sorted({"resnet", *PARTS, *MODEL_TYPES} - set(PARTS.values())))
        raise EncoderError(f"{name}: a {kind!r} model, which has no grid that is known; take one of {known}")
    classes = {"clip_vision_model": "CLIPVisionModel", "siglip_vision_model": "SiglipVisionModel"}
    loader = getattr(transformers, classes.get(part, "AutoModel"))
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it would list the tensors of the other part
    try:
        model, report = loader.from_pretrained(name, output_loading_info=True)
    finally:
        transformers.logging.set_verbosity(before)
    lacking = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if lacking:
        raise EncoderError(f"{name}: its weights lack {lacking[0]}; download or save the model again")
    values = json.loads(model.config.to_json_string(use_diff=True))
    return TransformersNetwork({**values, "model_type": part}, model.float())


def _stride(config: Any, kind: str) -> int:
    if kind.startswith("convnext"):
        return int(config.patch_size) * 2 ** (len(config.hidden_sizes) - 1)
    patch = config.patch_size
    if not isinstance(patch, int) or not 1 <= patch <= _MAX_SIZE:
        raise EncoderError(f"patches of {patch!r} pixels: only square ones are known")
    return patch * 2 ** (len(config.depths) - 1) if kind.startswith("swin") else patch


def _import() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise UsageError(
            "encoders other than ResNets need transformers: install it with pip install 'showtell[encoders]'"
        ) from error
    return transformers
