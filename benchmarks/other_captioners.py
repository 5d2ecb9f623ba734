"""Captioners of `transformers` that people could use instead, in the sizes that their makers published.

Their weights are random, which changes nothing in their speed. They caption greedily, 10 tokens, in bf16.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

TOKENS = 10
"""Tokens of a caption."""
QUESTION = list(range(10, 18))
"""Tokens of a prompt, besides those of the image."""


class Network(NamedTuple):
    """A captioner.

    Attributes:
        module: of `transformers`.
        shape: of the pixel values of an image.
        prompt: token ids, those of the image among them; empty where it takes none.
    """

    module: Any
    shape: tuple[int, ...]
    prompt: list[int]


def blip_base() -> Network:
    """BLIP-base (Li et al. 2022, arXiv:2201.12086): 224 M weights, 384 pixels."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    return Network(BlipForConditionalGeneration(BlipConfig()), (3, 384, 384), [])


def florence2_base() -> Network:
    """Florence-2-base (Xiao et al. 2023, arXiv:2311.06242): 231 M weights, 768 pixels."""
    from transformers import BartConfig, Florence2Config, Florence2ForConditionalGeneration

    heads: dict[str, Any] = {"encoder_attention_heads": 12, "decoder_attention_heads": 12}
    sizes = heads | {"d_model": 768, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072}
    text = BartConfig(vocab_size=51290, encoder_layers=6, decoder_layers=6, **sizes)
    config = Florence2Config(text_config=text.to_dict(), vision_config={"projection_dim": 768})
    prompt = [config.image_token_id] * 577 + QUESTION
    return Network(Florence2ForConditionalGeneration(config), (3, 768, 768), prompt)


def smolvlm_256m() -> Network:
    """SmolVLM-256M (Marafioti et al. 2025, arXiv:2504.05299): 256 M weights, 512 pixels, one tile."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    heads = {"num_attention_heads": 9, "num_key_value_heads": 3}
    text: dict[str, Any] = {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
    }
    text |= {"vocab_size": 49280, "tie_word_embeddings": True, **heads}
    vision = {"hidden_size": 768, "num_attention_heads": 12, "image_size": 512, "patch_size": 16}
    config = SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=4, image_token_id=49190)
    prompt = [config.image_token_id] * 64 + QUESTION
    return Network(SmolVLMForConditionalGeneration(config), (1, 3, 512, 512), prompt)


OTHERS: dict[str, Callable[[], Network]] = {
    "BLIP-base": blip_base,
    "Florence-2-base": florence2_base,
    "SmolVLM-256M": smolvlm_256m,
}


def captions_with(build: Callable[[], Network], batch_size: int) -> Callable[[int], float]:
    """A function that captions so many images, and returns the seconds."""
    import torch

    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build()
    module = network.module.to(device, torch.bfloat16).eval()
    prompt = torch.tensor([network.prompt], device=device)

    @torch.inference_mode()
    def measure(images: int) -> float:
        start = time.perf_counter()
        for begin in range(0, images, batch_size):
            count = min(batch_size, images - begin)
            pixels = torch.rand(count, *network.shape).to(device, torch.bfloat16)
            tokens = prompt.expand(count, -1)
            text = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)} if network.prompt else {}
            lengths = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS}
            module.generate(pixel_values=pixels, **text, **lengths, do_sample=False, num_beams=1)
        return time.perf_counter() - start

    return measure
