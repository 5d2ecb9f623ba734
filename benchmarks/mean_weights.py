"""The mean of the weights of models that were trained from the same one, as a model (Wortsman et al. 2022).

    python benchmarks/mean_weights.py runs/one runs/one-distilled --shares 0.6 0.4 --out runs/mean

Only models that start from the same weights have a mean that captions (arXiv:2203.05482). Where the folder is
that of a run, `python main.py --resume FOLDER` calibrates the confidence of the mean afterwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.tensor_files import misfit
from showtell.decoder import single_decoder
from showtell.errors import CheckpointError


def mean_of(names: Sequence[str], shares: Sequence[float]) -> Captioner:
    """The first of some models, with the means of their decoders' weights.

    Args:
        names: the models.
        shares: of each in the mean; they are divided by their sum.

    Raises:
        CheckpointError: one cannot be loaded, or has another vocabulary or other sizes.
    """
    models = [Captioner.load(name) for name in names]
    weights = [single_decoder(model.decoder).float().state_dict() for model in models]
    for name, model, its in zip(names, models, weights, strict=True):
        differs = "other words" if model.vocabulary != models[0].vocabulary else misfit(its, weights[0])
        if differs:
            raise CheckpointError(f"{name}: does not fit {names[0]} ({differs}); train it from that model")
    parts = torch.tensor(shares) / sum(shares)
    means = {key: torch.stack([its[key] for its in weights], dim=-1) @ parts for key in weights[0]}
    models[0].decoder.load_state_dict(means)
    return models[0]


def main() -> None:
    """Average and write."""
    parser = argparse.ArgumentParser(description="The mean of the weights of models, as a model.")
    parser.add_argument("models", nargs="+", help="runs, or folders in models/, of the same initial model")
    parser.add_argument("--shares", nargs="+", type=float, help="of each model in the mean (default: equal)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    args = parser.parse_args()
    shares = args.shares or [1.0] * len(args.models)
    if len(shares) != len(args.models):
        parser.error(f"--shares: {len(shares)} for {len(args.models)} models; name one for each")
    print(mean_of(args.models, shares).save(args.out))


if __name__ == "__main__":
    main()
