"""Options made from the dataclasses of showtell/config.py, whose docstrings are the help."""

from __future__ import annotations

import ast
import inspect
import textwrap
from argparse import SUPPRESS
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jsonargparse import Namespace

from showtell.commands.shared.parser import ArgumentGroup, Parser
from showtell.config import DataConfig, DecoderConfig
from showtell.config.data import DATASET_FORMATS
from showtell.config.model import DECODER_KINDS
from showtell.config.plugins import PluginKind, plugin_names
from showtell.errors import ConfigError

Section = TypeVar("Section")

_METAVARS: Final = {int: "N", float: "X", bool: "true|false"}
_NAMES: Final = {
    "root": "PATH",
    "images": "FOLDER",
    "dir": "FOLDER",
    "out": "FOLDER",
    "exported": "FOLDER",
    "weights": "NAME",
    "init": "MODEL",
    "views": "[VIEW,...]",
    "teachers": "[MODEL,...]",
}
"""Metavars of settings that are text or lists."""
_PLUGGABLE: Final[dict[tuple[type, str], tuple[tuple[str, ...], PluginKind]]] = {
    (DecoderConfig, "kind"): (DECODER_KINDS, "decoders"),
    (DataConfig, "format"): (DATASET_FORMATS, "readers"),
}
"""Settings that take one of some names, or that of a plug-in."""


def add_settings(
    parser: Parser,
    section: type,
    key: str | None = None,
    *,
    title: str,
    only: Collection[str] | None = None,
    hidden: Collection[str] = (),
    short: Mapping[str, str] | None = None,
) -> ArgumentGroup:
    """Add options for the fields of a dataclass, in a group of the help.

    Args:
        parser: gets the options.
        section: the dataclass.
        key: options are `--key.name`, as in configuration files; None: `--name`.
        title: of the group.
        only: names of the fields to add; by default all.
        hidden: names of fields that are accepted, and that the help leaves out.
        short: name -> a second, shorter option.

    Returns:
        The group.
    """
    chosen = [field for field in fields(section) if only is None or field.name in only]
    summary = _sentence((inspect.getdoc(section) or "").partition("\n\n")[0])
    shown = any(field.name not in hidden for field in chosen)
    group: ArgumentGroup = parser.add_argument_group(*([title, summary] if shown else []))
    for field in chosen:
        name = f"{key}.{field.name}" if key else field.name
        action = group.add_argument(f"--{name}", **_argument(section, field))
        action.hidden = field.name in hidden  # not argparse.SUPPRESS: jsonargparse would not dump its value
        if explains := parser._option_string_actions.get(f"--{name}.help"):
            explains.help = SUPPRESS  # jsonargparse adds it for settings that take a dataclass
        if short and field.name in short:
            parser.add_short(short[field.name], f"--{name}")
    return group


def add_plain_settings(
    parser: Parser,
    section: type,
    key: str,
    names: Collection[str],
    *,
    title: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> ArgumentGroup:
    """Add options for some fields of a dataclass by their plain names: `--beam-size`.

    `--search.beam_size` is accepted too, so that the names of configuration files hold everywhere.

    Args:
        parser: gets the options; their values are `args.beam_size` and so on.
        section: the dataclass.
        key: its name in configuration files.
        names: of the fields.
        title: of the group in the help; by default the options are not in a group of their own.
        defaults: name -> another default, with None for the value that something else decides.

    Returns:
        The group.
    """
    group: ArgumentGroup = parser.add_argument_group(title) if title else parser
    for field in fields(section):
        if field.name not in names:
            continue
        settings = _argument(section, field)
        if settings["type"] is bool and settings["default"] is False:
            settings = {"action": "store_true", "help": settings["help"]}
        elif defaults and field.name in defaults:
            settings["default"] = defaults[field.name]
            if settings["default"] is None:
                settings["type"] = settings["type"] | None
        option = f"--{field.name.replace('_', '-')}"
        names_of = dict.fromkeys([option, f"--{key}.{field.name}"])
        group.add_argument(*names_of, dest=field.name, **settings)
    return group


def section_of(args: Namespace, key: str, section: type[Section]) -> Section:
    """The settings of a section, as options or a configuration file give them.

    Args:
        args: parsed arguments, instantiated.
        key: of the section.
        section: the dataclass.

    Raises:
        ConfigError: a value is out of range, or the section is no section.
    """
    values = args[key]
    if not isinstance(values, Namespace):
        raise ConfigError(f"{key}: {values!r} is no section of settings; write {key}: {{name: value}}")
    return section(**vars(values))


@cache
def docstrings(section: type) -> dict[str, str]:
    """The docstrings under the fields of a dataclass, each as one line; none if the source is missing."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(section)))
    except (OSError, TypeError):
        return {}
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(content))),
            ):
                texts[name] = _sentence(content)
    return texts


def _sentence(text: str) -> str:
    """On one line as help is written: with a small first letter and no full stop at the end."""
    line = " ".join(text.split()).removesuffix(".")
    return line[:1].lower() + line[1:] if line[1:2].islower() or line[1:2] == " " else line


def _argument(section: type, field: Field[Any]) -> dict[str, Any]:
    """The keyword arguments of argparse's `add_argument` for a field."""
    kind = _hints(section)[field.name]
    if (section, field.name) in _PLUGGABLE:
        names, plugins = _PLUGGABLE[section, field.name]
        kind = Literal[(*names, *plugin_names(plugins))]
    made = field.default_factory() if field.default_factory is not MISSING else None
    return {
        "type": kind,
        "default": made if field.default is MISSING else field.default,
        "help": docstrings(section).get(field.name, ""),
        "metavar": _metavar(kind)
        if get_origin(kind) is Literal
        else _NAMES.get(field.name) or _metavar(kind),
    }


@cache
def _hints(section: type) -> dict[str, Any]:
    return get_type_hints(section)


def _metavar(kind: Any) -> str:
    if kind in _METAVARS:
        return _METAVARS[kind]
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, UnionType):
        return "|".join(_metavar(each) for each in get_args(kind) if each is not NoneType)
    return "TEXT"
