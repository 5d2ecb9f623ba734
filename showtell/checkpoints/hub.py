"""Models of the hub: from its cache, or downloaded into it.

The huggingface_hub client does both and honours HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and HF_TOKEN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from showtell.checkpoints.hub_metadata import CONFIG, MODEL_TYPE
from showtell.errors import CheckpointError
from showtell.utils.files import read_json

_FOLDERS: Final = frozenset({"runs", "models", "exported", "tuning", "checkpoints", "outputs", "output"})
"""Names of folders of models, which are paths even if there is no such folder."""
_FILES: Final = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".onnx", ".xml", ".json", ".yaml")
"""Endings of files of models."""


def is_hub_id(name: str) -> bool:
    """Whether a name that stands for nothing on the disk may be that of a model on the hub: `owner/name`.

    A name that looks like a path is not one of the hub: `runs/mine` is a missing run, `a/model.safetensors`
    is a file, and a name that begins with an existing folder is a path.
    """
    owner, slash, rest = name.partition("/")
    if not slash or owner in _FOLDERS or rest.lower().endswith(_FILES):
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not Path(owner).exists()


def fetch_model(name: str, file: str, revision: str | None = None) -> Path:
    """The file of a model on the hub, with its config.json beside it.

    config.json comes first: a model that is not showtell's is refused before it is downloaded.

    Args:
        name: the hub id.
        file: the model's file.
        revision: branch, tag or commit; by default `main`.

    Returns:
        The file in the hub's cache.

    Raises:
        CheckpointError: it is not in the cache and cannot be downloaded, or is not a model of showtell.
    """
    config = _download(name, CONFIG, revision)
    if _model_type(config) != MODEL_TYPE:
        raise CheckpointError(
            f"{name}: a model on the hub, but not one of showtell ({CONFIG} says so); choose another --model"
        )
    return _download(name, file, config.parent.name)  # the same commit, by the name of its folder


def _download(name: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    from showtell import __version__

    try:
        _ask_once(name, file, revision)
        return Path(
            hf_hub_download(
                name, file, revision=revision, library_name="showtell", library_version=__version__
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        at = f" at {revision}" if revision else ""
        raise CheckpointError(f"{name}{at}: {_reason(error, file)}") from error


def _ask_once(name: str, file: str, revision: str | None) -> None:
    """See whether the hub has a file that is not in the cache: the client itself tries for minutes.

    Raises:
        LocalEntryNotFoundError: the hub does not answer.
        HfHubHTTPError: it refuses.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    cached = try_to_load_from_cache(name, file, cache_dir=constants.HF_HUB_CACHE, revision=revision)
    if constants.HF_HUB_OFFLINE or isinstance(cached, str):
        return
    try:
        get_hf_file_metadata(hf_hub_url(name, file, revision=revision), timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except HfHubHTTPError:
        raise
    except Exception as error:  # the errors of its HTTP library, which has changed
        raise LocalEntryNotFoundError(f"the hub does not answer ({type(error).__name__})") from error


def _reason(error: Exception, file: str) -> str:
    """Why a file of the hub cannot be had, and what helps."""
    from huggingface_hub import constants, errors

    match error:
        case errors.LocalEntryNotFoundError() if constants.HF_HUB_OFFLINE:
            return (
                f"no such folder here, and {file} is not in the hub's cache; "
                "unset HF_HUB_OFFLINE to download it, or give a folder"
            )
        case errors.LocalEntryNotFoundError():
            return (
                f"no such folder here, and the hub cannot be reached for {file}; "
                "check the name and the connection, or give a folder"
            )
        case errors.GatedRepoError():
            return "its owner decides who may have it; ask for access on its page, then: hf auth login"
        case errors.RevisionNotFoundError():
            return "the model on the hub has no such revision; choose another branch, tag or commit"
        case errors.RepositoryNotFoundError():
            return "no such folder here, and no such model on the hub; check the name, or: hf auth login"
        case errors.EntryNotFoundError():
            return f"a model on the hub, but without {file}: not one of showtell; choose another --model"
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"{file} cannot be downloaded ({detail}); try again, or give a folder"


def _model_type(config: Path) -> object:
    try:
        return read_json(config).get("model_type")
    except (OSError, ValueError):
        return None
