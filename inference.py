"""Caption photos: `python inference.py photo.jpg`, a folder, a glob, or `-` for names on standard input."""

import sys

from showtell.cli import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("caption", sys.argv[1:], prog="inference.py"))
