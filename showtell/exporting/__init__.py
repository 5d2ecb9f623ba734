"""Models as graphs that run without PyTorch."""

import showtell.runtime  # first: nothing is told to the makers of the runtimes  # noqa: F401
