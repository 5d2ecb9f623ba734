"""The house stays a house: imports point down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [  # from the ground up; the longest prefix of a module's name counts
    {
        "showtell",
        "showtell.errors",
        "showtell.files",
        "showtell.memory",
        "showtell.printable",
        "showtell.progress",
    },
    {
        "showtell.config",
        "showtell.resources",
        "showtell.fingerprints",
        "showtell.tensor_files",
        "showtell.plotting",
        "showtell.web",
        "showtell.yaml_files",
    },
    {"showtell.devices"},
    {"showtell.gpu_memory"},
    {"showtell.data"},
    {
        "showtell.resnet",
        "showtell.feature_rows",
        "showtell.torchvision_weights",
        "showtell.search",
        "showtell.evaluation",
    },
    {"showtell.hub_config", "showtell.evaluation.confidence"},
    {"showtell.hub"},
    {"showtell.backbones", "showtell.model_file"},
    {"showtell.encoder", "showtell.captioning"},
    {
        "showtell.features",
        "showtell.feature_encoding",
        "showtell.feature_table",
        "showtell.decoder",
        "showtell.training.losses",
        "showtell.training.distributed",
    },
    {"showtell.captioner", "showtell.runtime", "showtell.training.self_critical"},
    {"showtell.export", "showtell.training.initial"},
    {"showtell.training.module", "showtell.training.calibration", "showtell.output", "showtell.report"},
    {
        "showtell.training.callbacks",
        "showtell.training.divergence",
        "showtell.training.finetuning",
        "showtell.training.self_critical_module",
    },
    {"showtell.serving", "showtell.alt", "showtell.scale"},
    {"showtell.training.fit", "showtell.training.run_folder", "showtell.tuning"},
    {"showtell.commands"},
    {"showtell.cli"},
    {"main", "inference", "data_preprocessing", "setup"},
]
FREE = {"showtell.training"}  # packages that hold nothing themselves
MODULES = sorted([*ROOT.glob("showtell/**/*.py"), *ROOT.glob("*.py")])


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int | None:
    prefix = module
    while prefix:
        for level, names in enumerate(LAYERS):
            if prefix in names and (prefix != "showtell" or module == "showtell"):
                return level
        prefix = prefix.rpartition(".")[0]
    return None


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            submodule = ROOT / (node.module + ".x").replace(".", "/")
            for alias in node.names:
                is_module = (submodule.parent / f"{alias.name}.py").exists()
                found.add(f"{node.module}.{alias.name}" if is_module else node.module)
    return {
        name
        for name in found
        if name.split(".")[0] in {"showtell", "main", "inference", "data_preprocessing"}
    }


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    module = name_of(path)
    level = layer_of(module)
    assert level is not None or module in FREE, f"{module} has no place in the house: give it a layer"
    for imported in imports_of(path):
        below = layer_of(imported)
        assert below is not None
        assert below <= (level or 0), f"{module} imports {imported}, which stands above it"
        same_room = module.rpartition(".")[0] == imported.rpartition(".")[0] or imported.startswith(module)
        assert below < (level or 0) or same_room or module.split(".")[1:2] == imported.split(".")[1:2]


def test_captioning_does_not_import_the_training_loop() -> None:
    seen, waiting = set(), {"showtell.commands.caption", "showtell.cli"}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        file = ROOT / (module.replace(".", "/") + ".py")
        file = file if file.exists() else file.with_suffix("") / "__init__.py"
        assert "lightning" not in file.read_text().replace("lightning fast", ""), (
            f"{module} imports Lightning"
        )
        waiting |= imports_of(file) - seen
