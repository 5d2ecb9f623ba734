"""Models as graphs that run without PyTorch."""

import showtell.runtime  # first: it switches off the telemetry of the runtimes  # noqa: F401
