"""The structure of the package: imports point down, files and functions are short."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (  # a package imports only from lines above its own
    "errors, web",
    "config",
    "utils",
    "search, data",
    "decoder, checkpoints",
    "encoder",
    "captioning",
    "runtime",
    "api, output",
    "evaluation, features",
    "training, scale, serving, alt, reporting",
    "tuning",
    "exporting",
    "commands.shared",
    "commands",
    "cli",
)
LEVELS = {name: level for level, line in enumerate(LAYERS) for name in line.split(", ")}
PACKAGE = sorted(path for path in ROOT.glob("showtell/**/*.py") if path.parent != ROOT / "showtell")
MODULES = [*PACKAGE, *sorted(path for path in ROOT.glob("showtell/*.py") if path.stem != "__init__")]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """The package of a module, as it stands in LAYERS."""
    parts = module.split(".")[1:]
    return "commands.shared" if parts[:2] == ["commands", "shared"] else parts[0]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    package = package_of(name_of(path))
    for imported in imports_of(path) - {"showtell"}:
        below = package_of(imported)
        assert below == package or LEVELS[below] < LEVELS[package], f"{name_of(path)} imports {imported}"


def test_few_modules_stand_outside_of_packages() -> None:
    assert {path.stem for path in ROOT.glob("showtell/*.py")} == {"__init__", "api", "cli", "errors"}


def test_functions_fit_a_screen_and_files_one_idea() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                docstring = (ast.get_docstring(node, clean=False) or "").count("\n")
                assert lines - docstring <= 60, f"{path}: {node.name} has {lines} lines"


def test_captioning_does_not_import_the_training_loop() -> None:
    seen, waiting = set(), {"showtell.commands.caption", "showtell.cli"}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        file = ROOT / (module.replace(".", "/") + ".py")
        file = file if file.exists() else file.with_suffix("") / "__init__.py"
        assert "lightning" not in file.read_text(encoding="utf-8").replace("lightning fast", ""), (
            f"{module} imports Lightning"
        )
        if module != "showtell":  # its imports are lazy
            waiting |= imports_of(file) - seen


# Rules of the house


WRITERS = {"showtell.utils.files", "showtell.alt.backup", "showtell.alt.exchange"}
"""Modules that may rename files: they flush the folder afterwards, or are called by one that does."""


def renames(tree: ast.Module) -> list[int]:
    """Lines that rename a file: `path.replace(other)`, `path.rename(other)`, `os.replace`, `shutil.move`.

    `str.replace` has two arguments, and `dataclasses.replace` is imported by its name.
    """
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    return [
        call.lineno
        for call in calls
        if (call.func.attr == "replace" and len(call.args) == 1)
        or call.func.attr in ("rename", "renames", "move")
        or (call.func.attr == "replace" and ast.unparse(call.func.value) == "os")
    ]


def test_files_take_their_names_in_one_module_which_flushes_the_folder() -> None:
    found = {name_of(path): renames(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES}
    assert {name for name, lines in found.items() if lines} == WRITERS


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('open("a").read()', "PLW1514"),
        ('Path("a").read_text()', "PLW1514"),
        ('Path("a").open("w").write("b")', "PLW1514"),
        ("assert value > 0", "S101"),
    ],
)
def test_the_linter_refuses_files_without_an_encoding_and_asserts(line: str, rule: str) -> None:
    source = f'"""A module."""\n\nfrom pathlib import Path\n\nvalue = Path("a").stat().st_size\n{line}\n'
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--output-format=json",
            "--stdin-filename=showtell/new.py",
            "-",
        ],
        input=source,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert rule in {finding["code"] for finding in json.loads(done.stdout)}
