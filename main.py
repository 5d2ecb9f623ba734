"""Train a captioner: `python main.py` (drawn scenes), `python main.py --config configs/flickr8k.yaml`, ..."""

import sys

from showtell.cli import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("train", sys.argv[1:], prog="main.py"))
