"""RNN decoders behind one interface."""

from __future__ import annotations

from showtell.config import DecoderConfig
from showtell.config.plugins import load_plugin, plugin_failed
from showtell.decoder.attention import AttentionDecoder
from showtell.decoder.base import RNNDecoder, StepDecoder, packed_targets, single_decoder
from showtell.decoder.ensemble import EnsembleDecoder
from showtell.decoder.fused import for_search
from showtell.decoder.pooled import PooledDecoder
from showtell.decoder.state import SearchState, StepOutput, as_search_step
from showtell.decoder.topdown import TopDownDecoder
from showtell.errors import PluginError

_KINDS: dict[str, type[RNNDecoder]] = {
    "pooled": PooledDecoder,
    "attention": AttentionDecoder,
    "topdown": TopDownDecoder,
}


def make_decoder(config: DecoderConfig, *, vocab_size: int, feature_dim: int, grid_cells: int) -> RNNDecoder:
    """The decoder that `config.kind` names, with fresh weights.

    Raises:
        PluginError: it is that of a plug-in, which fails, is no `RNNDecoder`, or overrides `logits`.
    """
    if config.kind in _KINDS:
        return _KINDS[config.kind](vocab_size, feature_dim, grid_cells, config)
    made = load_plugin("decoders", config.kind)
    try:
        decoder = made(vocab_size, feature_dim, grid_cells, config)
    except Exception as error:
        raise plugin_failed("decoders", config.kind, error) from error
    if not isinstance(decoder, RNNDecoder):
        raise PluginError(
            f"plug-in {config.kind} (showtell.decoders): it is no RNNDecoder; see docs/plugins.md"
        )
    if type(decoder).logits is not RNNDecoder.logits:
        raise PluginError(
            f"plug-in {config.kind} (showtell.decoders): it overrides `logits`, which the losses of training"
            " compute by themselves; change what its `forward` and `step` give to `logits`"
        )
    return decoder


__all__ = [
    "EnsembleDecoder",
    "RNNDecoder",
    "SearchState",
    "StepDecoder",
    "StepOutput",
    "as_search_step",
    "for_search",
    "make_decoder",
    "packed_targets",
    "single_decoder",
]
