"""Score captions: a model on a split, or a file of predictions.

BLEU, ROUGE-L, CIDEr and others need no Java; METEOR and SPICE are added if Java is available. Intervals are
bootstrap intervals over images.
"""

from __future__ import annotations

from typing import Final

from jsonargparse import Namespace

from showtell.commands.shared import evaluation_options
from showtell.commands.shared.parser import Parser
from showtell.evaluation.results import DatasetEvaluation, EvaluationData
from showtell.evaluation.run import evaluate, results_folder

EXAMPLES: Final = (
    ("{prog} --data coco", "the included model on the validation photos of a dataset"),
    ("{prog} --predictions mine.json --data coco", "anybody's captions"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell evaluate`."""
    evaluation_options.add_arguments(parser)
    parser.add_argument(
        "--submission",
        metavar="NAME",
        help="also write captions_<split>_NAME_results.json, the file that COCO's evaluation server takes",
    )


def run(parser: Parser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Evaluate; the results on each dataset are printed and written as soon as they are available."""
    evaluation_options.check_out(args)
    several: list[DatasetEvaluation] = []

    def check(data: EvaluationData) -> None:
        if args.submission is not None:
            data.check_submission(args.submission)

    def show(result: DatasetEvaluation) -> None:
        print("\n" if several else "", end="")
        several.append(result)
        print(result)
        folder = results_folder(args.out, result)
        print(f"\nscores: {', '.join(map(str, result.save(folder)))}")
        if args.submission is not None:
            print(f"submission: {result.write_submission(folder, args.submission)}")

    evaluate(
        args.model,
        evaluation_options.data_of(args),
        **evaluation_options.settings_of(args),
        on_data=check,
        on_dataset=show,
    )
