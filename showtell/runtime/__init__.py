"""Exported models: graphs that ONNX Runtime and OpenVINO run, without PyTorch.

OpenVINO and NNCF tell their makers of each import, from a process that they fork, wherever the package
`openvino_telemetry` can be imported. It cannot be here: showtell sends nothing to anyone.
"""

from __future__ import annotations

import sys
from typing import Any, cast

cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)
