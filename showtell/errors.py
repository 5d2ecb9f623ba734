"""The errors of showtell. Each message is one line, names what is wrong and how to fix it.

ShowtellError                  exit code 1: an operation failed
├── UsageError                 exit code 2: wrong arguments or options
│   ├── ConfigError            a configuration value, or two that contradict each other
│   └── PluginError            a plug-in that is not installed, or fails
├── DataError
│   ├── AnnotationError        an annotation file or one entry of it
│   ├── DownloadError          a dataset file that cannot be downloaded
│   └── ImageError             an image that cannot be decoded
├── ModelError
│   ├── EncoderError           encoder weights that are missing or in an unknown format
│   └── CheckpointError        a model file that is damaged, or of another version or vocabulary
│       └── UnknownModelError  a name that no model or run has (exit code 2: also a UsageError)
├── FeatureStoreError          a feature cache that cannot be read or written
├── TrainingDivergedError      training that diverged; no model was saved
└── WriteError                 a file that cannot be written: no room, no permission (also an OSError)
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LINE_BREAKS: Final = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


MAX_MESSAGE: Final = 1500
"""Characters of a message at most."""


class ShowtellError(Exception):
    """Base of all errors that showtell raises on purpose.

    Control characters in the message, which may come from a file, are escaped.
    """

    exit_code = 1

    def __init__(self, message: str = "", *more: object) -> None:
        super().__init__(message_line(message) if isinstance(message, str) else message, *more)


class UsageError(ShowtellError):
    """A request that cannot work: wrong arguments or options."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value is out of range, or two values contradict each other."""


class PluginError(UsageError):
    """A plug-in is not installed, or does not do what its kind has to do."""


class DataError(ShowtellError):
    """The data given cannot be used."""


class AnnotationError(DataError):
    """An annotation file, or one entry of it, cannot be used."""


class DownloadError(DataError):
    """A file of a dataset cannot be downloaded, or is not the one that was expected."""


class ImageError(DataError):
    """An image cannot be decoded.

    Attributes:
        source: the file (or other name) of the image.
        reason: why it cannot be decoded, in a few words.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        """Pickle by the two arguments, so that the error crosses process borders."""
        return type(self), (self.source, self.reason)


class ModelError(ShowtellError):
    """A model cannot be built or used."""


class EncoderError(ModelError):
    """Encoder weights are missing, or in an unknown format."""


class CheckpointError(ModelError):
    """A model file is damaged, or of another version or vocabulary."""


class UnknownModelError(CheckpointError, UsageError):
    """No model or run has the name that was given."""


class FeatureStoreError(ShowtellError):
    """A feature cache cannot be read or written."""


class TrainingDivergedError(ShowtellError):
    """The validation loss is not finite, or worse than that of guessing: no model was saved."""


class WriteError(ShowtellError, OSError):
    """A file cannot be written.

    Attributes:
        filename: the file.
        strerror: why, as the system says it.
        errno: its number, or None.
    """

    def __init__(self, filename: str, strerror: str, errno: int | None = None) -> None:
        OSError.__init__(self, errno, strerror, filename)

    def __str__(self) -> str:
        """One line that names the file."""
        return message_line(f"{self.filename}: cannot be written ({self.strerror})")

    def __reduce__(self) -> tuple[type[WriteError], tuple[str, str, int | None]]:
        """Pickle by the arguments, so that the error crosses process borders."""
        return type(self), (str(self.filename), str(self.strerror), self.errno)


def message_line(text: str) -> str:
    """A message as one line: line breaks become spaces, other control characters are escaped.

    Of a message that a value from a file makes longer than `MAX_MESSAGE`, the middle is left out.
    """
    line = text if text.isprintable() else one_line(_LINE_BREAKS.sub(" ", text).strip())
    if len(line) <= MAX_MESSAGE:
        return line
    return f"{line[: MAX_MESSAGE * 2 // 3]} ... {line[-(MAX_MESSAGE // 3 - 5) :]}"


def one_line(name: str) -> str:
    """A file's name as text of one line: control characters, and bytes that are no text, are escaped."""
    return name if name.isprintable() else "".join(map(escaped, name))


def escaped(char: str) -> str:
    """A character, escaped if it is a control character (Unicode category C), or separates lines."""
    return char.encode("unicode_escape").decode() if is_control(char) else char


def is_control(char: str) -> bool:
    """Whether a character steers what shows it; spaces of all kinds do not."""
    category = unicodedata.category(char)
    return category[0] == "C" or category in ("Zl", "Zp")
