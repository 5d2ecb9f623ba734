"""Two Ray nodes of one core each, on this machine: the steps of docs/scale.md without a second machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra scale is not installed")
pytestmark = pytest.mark.slow


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("captions-*"))}


def test_a_cluster_of_two_nodes(exported: Path, snippets: list[Path], tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    def main(arguments: list[str]) -> int:  # in a process of its own: Ray warns of itself
        return subprocess.run([sys.executable, "-m", "showtell.cli", *arguments]).returncode

    command = ["scale", "caption", str(snippets[0].parent), "--model", str(exported), "--unit-size", "10"]
    assert main([*command, "--out", str(tmp_path / "alone")]) == 0
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        options = ["--out", str(tmp_path / "ray"), "--address", cluster.address]
        assert main([*command, *options, "--workers", "3"]) == 2  # more than the cores of both
        assert main([*command, *options, "--workers", "2"]) == 0
    finally:
        cluster.shutdown()
    assert shards(tmp_path / "ray") == shards(tmp_path / "alone")
    assert len(shards(tmp_path / "ray")) == 4
