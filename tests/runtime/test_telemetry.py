"""Nothing is sent to the makers of the runtimes."""

from __future__ import annotations

import subprocess
import sys

import pytest

LISTENER = """
import sys, multiprocessing, threading
import {module}
import openvino
loaded = sorted(name for name, module in sys.modules.items() if "openvino_telemetry" in name and module)
assert not loaded, loaded
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
assert not threads and not multiprocessing.active_children(), threads
from openvino.tools.ovc import telemetry
assert type(telemetry).__module__ == "openvino.tools.ovc.telemetry_stub", type(telemetry)
if "nncf" in sys.modules:
    from nncf.telemetry.wrapper import telemetry
    assert type(telemetry).__name__ == "MagicMock", type(telemetry)
"""


@pytest.mark.parametrize(
    "module",
    ["showtell.runtime.sessions", pytest.param("showtell.exporting.quantize", marks=pytest.mark.slow)],
)
def test_the_runtimes_report_to_nobody(module: str) -> None:
    code = LISTENER.format(module=module)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
