"""Loggers of a run: what TensorBoard reads, and what W&B and MLflow (stand-ins here) are called with."""

from __future__ import annotations

import importlib.machinery
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showtell.config import LoggerKind, TrainingConfig
from showtell.data.records import CaptionedImage
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import ConfigError, UsageError, WriteError
from showtell.training.logged_photos import CaptionedPhoto
from showtell.training.loggers import STATE, NoLogger, grouped, open_logger, require_logger
from tests.training.toy import IMAGES, train

ROW = {"epoch": 2.0, "train_loss": 3.0, "val_loss": 2.5, "val_loss/coco": 2.4, "CIDEr": 0.4, "saved": 1.0}
PHOTOS = [
    CaptionedPhoto(name, Image.new("RGB", (40, 30), name), f"a {name} $ photo") for name in ("red", "blue")
]


class Service(ModuleType):
    """A stand-in of `wandb` or `mlflow`: notes its calls, and fails where it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failing: set[str] = set()
        self.id, self.info = "run7", SimpleNamespace(run_id="run7")
        for method in ("init", "log", "finish", "Image", "start_run", "end_run", "set_experiment"):
            setattr(self, method, self._call(method))
        for method in ("log_params", "log_metrics", "log_figure", "log_text"):
            setattr(self, method, self._call(method))

    def _call(self, method: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if method in self.failing:
                raise RuntimeError(f"{method}:\nno network")
            self.calls.append((method, args, named))
            return (method, named.get("caption")) if method == "Image" else self

        return call

    def named(self, method: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, named) for name, args, named in self.calls if name == method]


@pytest.fixture(params=["wandb", "mlflow"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Service:
    stand_in = Service(request.param)
    monkeypatch.setitem(sys.modules, request.param, stand_in)
    for name in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return stand_in


def test_names_in_groups() -> None:
    assert grouped(ROW | {"reward": 1.0, "mine/a": 2.0}) == {
        "loss/train": 3.0,
        "loss/validation": 2.5,
        "loss/validation/coco": 2.4,
        "scores/CIDEr": 0.4,
        "other/saved": 1.0,
        "reward/train": 1.0,
        "other/mine/a": 2.0,
    }


def test_tensorboard_has_groups_and_photos(tmp_path: Path) -> None:
    for epoch in (1.0, 2.0):  # the second as of a run that is resumed
        with open_logger("tensorboard", tmp_path) as logger:
            logger.log_epoch(ROW | {"epoch": epoch, "CIDEr": epoch}, PHOTOS)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("scores/CIDEr")] == [(1, 1.0), (2, 2.0)]
    assert [event.step for event in events.Images("photos")] == [1, 2]


def test_tensorboard_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(WriteError, match="tensorboard"), open_logger("tensorboard", tmp_path):
        pass


def test_services_get_scores_photos_and_settings(service: Service, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("training: {epochs: 3}\nout: x\n")
    with open_logger(service.__name__, tmp_path) as logger:  # type: ignore[arg-type]
        logger.log_epoch(ROW, PHOTOS)
    texts = ["a red $ photo", "a blue $ photo"]
    if service.__name__ == "wandb":
        ((_, opened),) = service.named("init")
        assert (opened["project"], opened["name"]) == ("showtell", tmp_path.name)
        assert opened["config"] == {"training": {"epochs": 3}, "out": "x"}
        (metrics, step), (images, _) = service.named("log")
        assert (metrics[0], step) == (grouped(ROW), {"step": 2})
        assert [caption for _, caption in images[0]["photos"]] == texts
        assert service.calls[-1] == ("finish", (), {"exit_code": 0})
    else:
        assert service.named("log_params") == [(({"training.epochs": 3, "out": "x"},), {})]
        assert service.named("log_metrics") == [((grouped(ROW),), {"step": 2})]
        (((text, name), _),) = service.named("log_text")
        assert [row["caption"] for row in json.loads(text)] == texts
        assert name == "photos/epoch-002.json"
        assert service.calls[-1] == ("end_run", (), {"status": "FINISHED"})


def test_a_resumed_run_goes_on_in_the_same_run_of_the_service(service: Service, tmp_path: Path) -> None:
    for _ in range(2):
        with open_logger(service.__name__, tmp_path):  # type: ignore[arg-type]
            pass
    opened = [named for _, named in service.named("init") + service.named("start_run")]
    assert [named.get("id", named.get("run_id")) for named in opened][1] == "run7"
    (tmp_path / STATE).write_text("{")  # damaged: a new run, not a stop
    with open_logger(service.__name__, tmp_path):  # type: ignore[arg-type]
        pass


def test_a_service_that_fails_later_does_not_stop_training(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.failing |= {"log", "log_metrics", "log_figure", "finish", "end_run"}
    with open_logger(service.__name__, tmp_path) as logger:  # type: ignore[arg-type]
        logger.log_epoch(ROW, PHOTOS)
        logger.log_epoch(ROW, PHOTOS)
    (record,) = caplog.records
    assert "no network); training continues" in record.getMessage()


def test_a_service_that_cannot_be_opened_names_the_fix(service: Service, tmp_path: Path) -> None:
    service.failing |= {"init", "start_run"}
    with pytest.raises(ConfigError, match=r"no network; .*training\.logger tensorboard"):  # noqa: SIM117
        with open_logger(service.__name__, tmp_path):  # type: ignore[arg-type]
            pass


def test_a_run_that_fails_is_marked(service: Service, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_logger(service.__name__, tmp_path):  # type: ignore[arg-type]
        raise KeyboardInterrupt
    assert service.calls[-1][2] in ({"exit_code": 1}, {"status": "FAILED"})


@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_named_first(kind: LoggerKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=rf"pip install 'showtell\[{kind}\]'"):
        require_logger(kind)


def test_other_processes_and_none_log_nothing(tmp_path: Path) -> None:
    with open_logger("none", tmp_path) as first, open_logger("wandb", tmp_path, writes=False) as second:
        first.log_epoch(ROW, PHOTOS)
        assert type(first) is type(second) is NoLogger
    assert list(tmp_path.iterdir()) == []


def test_training_logs_each_epoch_with_its_captions(
    tiny_encoder: CNNEncoder, snippets: list[Path], tmp_path: Path
) -> None:
    images = [
        CaptionedImage(snippets[number % 40], image.captions, image.split, image.image_id)
        for number, image in enumerate(IMAGES)
    ]
    config = TrainingConfig(epochs=2, batch_size=8, patience=0, precision="fp32", logged_photos=2)
    result = train(tiny_encoder, tmp_path, images=images, config=config)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("photos")] == [1, 2]
    logged = [event.value for event in events.Scalars("loss/validation")]
    assert logged == pytest.approx([row["val_loss"] for row in result.epochs])
