"""Train a captioner: `python main.py` (synthetic scenes), `python main.py --data photos/`, ..."""

import sys

from showtell.cli import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("train", sys.argv[1:], prog="main.py"))
