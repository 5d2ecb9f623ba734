"""List the models of this machine: included ones, runs, exported ones, and those in the hub's cache.

Each has its data, CIDEr on validation photos, and size. The names are those that --model takes. Runs and
exported models are searched in runs/ and exported/ of the working directory.
"""

from __future__ import annotations

from typing import Final

from jsonargparse import Namespace

from showtell.checkpoints.catalog import ModelEntry, list_models, to_json
from showtell.commands.shared.parser import Parser
from showtell.utils.files import readable_size
from showtell.utils.runs import LAST
from showtell.utils.tables import text_table

EXAMPLES: Final = (
    ("{prog}", "what --model can name here"),
    ("{prog} --json", "the same for another program"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell models`."""
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")


def run(parser: Parser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """List the models."""
    models = list_models()
    if args.json:
        print(to_json(models))
        return
    newest = next((model.name for model in models if model.place == "run" and not model.problem), None)
    rows = [
        [
            model.name,
            model.place if model.kind == "captioner" else f"{model.place} {model.kind}",
            ", ".join(model.data) or "-",
            _scores(model),
            readable_size(model.bytes),
            model.problem or (f"--model {LAST}" if model.name == newest else ""),
        ]
        for model in models
    ]
    print(text_table(["name", "where", "data", "CIDEr", "size", ""], rows, left=(0, 1, 2, 3, 5)))
    if newest is None:
        print("no trained run in runs/ here: python main.py trains one")


def _scores(model: ModelEntry) -> str:
    return ", ".join(f"{score:.3f}" for score in model.scores.values()) or "-"
