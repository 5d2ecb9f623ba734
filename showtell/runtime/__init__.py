"""Exported models: graphs that ONNX Runtime and OpenVINO run, without PyTorch.

Telemetry is disabled: OpenVINO and NNCF report every import to their vendors if `openvino_telemetry` can be
imported, so this module blocks that import.
"""

from __future__ import annotations

import sys
from typing import Any, cast

cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)
