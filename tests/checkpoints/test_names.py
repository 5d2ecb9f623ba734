"""Names of ensembles."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.checkpoints.names import split_ensemble


def test_commas_separate_members_unless_there_is_such_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_ensemble("everyday") == ["everyday"]
    assert split_ensemble("my, run") == ["my", " run"]
    (tmp_path / "my, run").mkdir()
    assert split_ensemble("my, run") == ["my, run"]
