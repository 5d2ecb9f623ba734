"""The argument parser of all commands: help that fits on a screen, errors of one line with a suggestion."""

from __future__ import annotations

import difflib
import re
from argparse import SUPPRESS, Action, ArgumentError
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, NoReturn, Protocol, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, get_loader, set_loader

from showtell.errors import UsageError
from showtell.utils.yaml_files import check_aliases

EXAMPLES: Final = "examples:"
"""Begins the text under the options of a command, whose lines are kept as they are."""
_SUGGESTIONS: Final = 3
_KINDS: Final[dict[Any, str]] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


_jsonargparse_load = get_loader("yaml")


def _load_yaml(text: str) -> Any:
    """Values of an argument, or of the file of `--config`, whose aliases are bounded."""
    check_aliases(text)
    try:
        return _jsonargparse_load(text)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error


set_loader("yaml", _load_yaml, (yaml.YAMLError,))


class ArgumentGroup(Protocol):
    """A parser, or a group of its options in the help."""

    def add_argument(self, *names: str, **settings: Any) -> Any:
        """See `argparse.ArgumentParser.add_argument`."""


class Parser(ArgumentParser):
    """jsonargparse's parser, whose errors are raised as a `UsageError` of one line.

    Args:
        prog: name of the program in the help.
        description: what the command does.
        examples: command lines and what they do; `{prog}` stands for the program.
    """

    def __init__(
        self,
        prog: str | None = None,
        description: str | None = None,
        examples: Sequence[tuple[str, str]] = (),
        **settings: Any,
    ) -> None:
        settings = {"allow_abbrev": False, "formatter_class": HelpFormatter, **settings}
        super().__init__(prog=prog, description=description, **settings)
        self._examples = tuple(examples)
        self.given: list[str] = []
        self._short: dict[str, str] = {}
        self._positionals.title, self._optionals.title = "arguments", "general"

    def add_short(self, short: str, option: str) -> None:
        """Accept a second name for an option, also one that is the name of a section (`--data`).

        Args:
            short: the name, which the help shows before the other.
            option: the option, which has been added.
        """
        self._short[short] = option
        self._option_string_actions[option].short = short  # type: ignore[attr-defined]

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Parse arguments, by second names too.

        Raises:
            UsageError: there is a mistake in them.
        """
        given = list(arguments)
        commands = self._subcommands_action
        for parser in (self, *(commands._name_parser_map.values() if commands else ())):
            parser.given = list(arguments)
        end = given.index("--") if "--" in given else len(given)
        for position, argument in enumerate(given[:end]):
            name, equals, value = argument.partition("=")
            given[position] = f"{self._short.get(name, name)}{equals}{value}"
        parsed = self.parse_args(given)
        _refuse_nulls(self, parsed)
        return parsed

    def named(self, action: Action) -> str | None:
        """The name of an option that stands on the command line, as it stands there; None if none does."""
        names = {argument.partition("=")[0] for argument in self.given}
        short = [name for name, option in self._short.items() if option in action.option_strings]
        return next((name for name in [*short, *action.option_strings] if name in names), None)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what the user did wrong.

        Raises:
            UsageError: always; but for the parsers with which jsonargparse tries the types of a union.
        """
        if not self.exit_on_error:
            raise ArgumentError(None, message) from ex
        raise UsageError(_explain(self, message)) from ex

    def format_help(self, formatter: Any = None) -> str:
        """The help, with examples at its end and general options below those of the command."""
        if self._examples:
            run = f"python {self.prog}" if self.prog.endswith(".py") else self.prog
            lines = [(command.replace("{prog}", run), meaning) for command, meaning in self._examples]
            width = max(len(command) for command, _ in lines)
            self.epilog = "\n".join(
                [EXAMPLES, *(f"  {command:<{width}}   # {meaning}" for command, meaning in lines)]
            )
        general = self._optionals
        self._action_groups = sorted(self._action_groups, key=lambda group: group is general)
        return str(super().format_help(formatter))


class HelpFormatter(DefaultHelpFormatter):
    """A short usage line; options with a metavar, what they do, and their default if there is one."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{"max_help_position": 30, **settings})  # type: ignore[no-untyped-call]

    def add_argument(self, action: Action) -> None:
        """Add an action, but for the hidden ones."""
        if not getattr(action, "hidden", False):
            super().add_argument(action)

    def _format_usage(self, usage: str | None, actions: Iterable[Action], *_: Any) -> str:
        words = [self._prog, "[OPTION ...]"]
        for action in actions:
            if not action.option_strings:
                words.append(self._format_args(action, action.dest))
            elif action.required:
                words.append(f"{action.option_strings[0]} {self._format_args(action, action.dest)}")
        return f"usage: {usage or ' '.join(words)}\n\n"

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings:
            return str(super()._format_action_invocation(action))
        names = ", ".join(shown_names(action))
        if action.nargs == 0:
            return names
        return f"{names} {self._format_args(action, self._get_default_metavar_for_optional(action))}"

    def _get_help_string(self, action: Action) -> str:
        text = (action.help or "").strip()
        default = action.default
        named = action.option_strings and action.nargs != 0 and "default" not in text.lower()
        if action.required and action.option_strings:
            return f"{text} (required)"
        if not named or default in (None, SUPPRESS, "", [], ()):
            return text
        return f"{text} (default: {_shown(default)})"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES):
            return "\n".join(indent + line for line in text.splitlines())
        return str(super()._fill_text(text, width, indent))


def shown_names(action: Action) -> list[str]:
    """The names of an option for the help: without those of configuration files if it has a plain one."""
    names = [name for name in action.option_strings if not name.endswith("+")]  # those of lists
    plain = [name for name in names if "." not in name]
    short = [action.short] if hasattr(action, "short") else []
    return plain if plain and "." not in action.dest else [*short, *names]


def suggest(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the names that are most like one that does not exist; empty without any."""
    known = list(dict.fromkeys(names))
    last = _last(name)
    same = [each for each in known if _last(each) == last]
    dotted = difflib.get_close_matches(name, known, 1, 0.85) if "." in name else []
    close = dotted or same or difflib.get_close_matches(name, known, 1, 0.7)
    if not close:
        lasts = difflib.get_close_matches(last, map(_last, known), 1, 0.75)
        close = [each for each in known if _last(each) in lasts]
    if not close:
        return ""
    *first, end = close[:_SUGGESTIONS]
    return f"; did you mean {', '.join(first) + ' or ' if first else ''}{end}?"


def _last(name: str) -> str:
    """`beam_size` of `--search.beam_size` and `--beam-size`."""
    return name.lstrip("-").rpartition(".")[2].replace("-", "_").lower()


def _explain(parser: Parser, message: str) -> str:
    """One line for an error of jsonargparse or argparse, with a suggestion."""
    text = " ".join(message.split())
    for pattern, explain in _EXPLANATIONS:
        if match := re.match(pattern, text):
            return str(explain(parser, *match.groups()))
    return text


def _refuse_nulls(parser: Parser, parsed: Namespace) -> None:
    """Refuse `null` as the value of a setting that has to have one, which jsonargparse does not.

    Raises:
        UsageError: there is one.
    """
    for action in parser._actions:
        kind = getattr(action, "_typehint", None)
        if action.default is None or action.default == SUPPRESS or NoneType in get_args(kind):
            continue
        if parsed.get(action.dest, action.default) is None:
            name = parser.named(action) or f"{_file(parser)}{action.dest}"
            raise UsageError(
                f"{name}: null is no value; leave it out, or write {_kind(kind or type(action.default))}"
            )
    commands = parser._subcommands_action
    if commands and isinstance(inner := commands._name_parser_map.get(parsed.get(commands.dest)), Parser):
        _refuse_nulls(inner, parsed[parsed[commands.dest]])


def _unrecognized(parser: Parser, arguments: str) -> str:
    name = arguments.split()[0].partition("=")[0]
    if name.startswith("-"):
        return f"{name}: no such option{suggest(name, _options(parser)) or _see_help(parser)}"
    return f"{name}: not expected here; options begin with --{_see_help(parser)}"


def _unknown_key(parser: Parser, key: str) -> str:
    dests = [action.dest for action in shown_actions(parser)]
    return f"{_file(parser)}{key}: no such setting{suggest(key, dests) or _see_help(parser)}"


def _unknown_key_of(parser: Parser, group: str, key: str) -> str:
    return _unknown_key(parser, f"{group}.{key}")


def _bad_value(parser: Parser, key: str, problem: str) -> str:
    parser, dest = _subparser(parser, key)
    action = next((each for each in parser._actions if each.dest == dest), None)
    name = (parser.named(action) if action else None) or f"{_file(parser)}{key}"
    value = re.search(r"(?:Got value|Given value): (.*?)$", problem)
    kind = getattr(action, "_typehint", None) or getattr(action, "type", None)
    if value is None or kind is None:
        return f"{name}: {problem}"
    return f"{name}: {value[1]!r} is {_not_of_kind(kind)}{suggest(value[1], _choices(kind))}"


def _bad_choice(_parser: Parser, name: str, value: str, choices: str) -> str:
    known = re.findall(r"[\w.-]+", choices)
    shown = f"{name.split('/')[0]}: " if name.startswith("-") else ""
    return f"{shown}{value!r} is none of {', '.join(known)}{suggest(value, known)}"


def _no_value(parser: Parser, names: str, expected: str) -> str:
    action = parser._option_string_actions.get(names.split("/")[0])
    name = (parser.named(action) if action else None) or names.split("/")[0]
    return f"{name}: needs a value" + (f" ({expected})" if expected != "expected one argument" else "")


def _missing(parser: Parser, names: str) -> str:
    shown = []
    for name in names.split(", "):
        parser, dest = _subparser(parser, name)
        action = next((each for each in parser._actions if each.dest == dest), None)
        shown.append(action.option_strings[0] if action and action.option_strings else dest)
    return f"missing: {', '.join(shown)}{_see_help(parser)}"


def _no_subcommand(parser: Parser, names: str) -> str:
    return f"missing: {_or(names.split(','))}{_see_help(parser)}"


def _subparser(parser: Parser, key: str) -> tuple[Parser, str]:
    """The parser that a key belongs to, and its name there: of `caption.out` the sub-command's, and `out`."""
    command, _, rest = key.partition(".")
    commands = parser._subcommands_action
    inner = commands._name_parser_map.get(command) if commands and rest else None
    return (inner, rest) if isinstance(inner, Parser) else (parser, key)


def _config_text(parser: Parser, problem: str) -> str:
    return f"{_file(parser)}not YAML: {problem}"


def _config_form(parser: Parser, content: str) -> str:
    return f"{_file(parser)}{content[:40]!r} is no setting; write name: value, or section: {{name: value}}"


def _no_file(_parser: Parser, key: str, name: str) -> str:
    return f"--{key} {name}: no such file"


def _no_settings(parser: Parser, key: str, path: str) -> str:
    """What to name in place of a folder."""
    files = sorted(str(file) for ending in ("yaml", "yml") for file in Path(path).glob(f"*.{ending}"))
    fix = f"such as {files[0]}" if files else "such as configs/flickr8k.yaml; photos are named with --data"
    return (
        f"--{key} {_file(parser).removesuffix(': ') or path}: not a file; name a YAML file of settings, {fix}"
    )


_EXPLANATIONS: Final[tuple[tuple[str, Any], ...]] = (
    (r"unrecognized arguments: (.*)", _unrecognized),
    (r"Group '(.*?)' does not accept option '(.*?)'", _unknown_key_of),
    (r"(?:Subcommand '.*?' does not accept option|Option) '(.*?)'", _unknown_key),
    (r'Parser key "(\w+)": File does not exist: \'(.*)\'', _no_file),
    (r'Parser key "(\w+)": Path is not a file: \'(.*)\'', _no_settings),
    (r'Parser key "(.*?)": (.*)', _bad_value),
    (r"argument (.*?): invalid choice: '(.*?)' \(choose from (.*)\)", _bad_choice),
    (r"argument (.*?): (expected .*)", _no_value),
    (r'expected "subcommand" to be one of {(.*)}', _no_subcommand),
    (r"the following arguments are required: (.*)", _missing),
    (r"Problems parsing config: (.*)", _config_text),
    (r"Unexpected config: (.*)", _config_form),
)


def _options(parser: ArgumentParser) -> list[str]:
    """The long names of the options that the help shows."""
    names = (name for action in shown_actions(parser) for name in shown_names(action))
    return [name for name in names if name.startswith("--")]


def shown_actions(parser: ArgumentParser) -> list[Action]:
    """The options and positional arguments that the help shows."""
    return [each for each in parser._actions if each.help != SUPPRESS and not getattr(each, "hidden", False)]


def choices_of(action: Action) -> list[str]:
    """The values that an option takes, if they are few and known."""
    kind = getattr(action, "_typehint", None) or action.type
    if kind is bool:
        return ["true", "false"]
    return [str(choice) for choice in action.choices or ()] or _choices(kind)


def _see_help(parser: Parser) -> str:
    return f"; see {parser.prog} --help"


def _file(parser: Parser) -> str:
    """`FILE: ` of a configuration file, if one is named on the command line."""
    for argument, following in pairwise([*parser.given, ""]):
        name, equals, value = argument.partition("=")
        if name == "--config":
            return f"{value if equals else following}: "
    return ""


def _not_of_kind(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"none of {', '.join(map(str, get_args(kind)))}"
    return f"not {_kind(kind)}"


def _kind(kind: Any) -> str:
    """A readable name of a type."""
    if kind in _KINDS:
        return _KINDS[kind]
    if get_origin(kind) is Literal:
        return _or([str(value) for value in get_args(kind)])
    if get_origin(kind) in (list, tuple):
        inner = [each for each in get_args(kind) if each is not ...]
        return f"a list [A, B] of {_kind(inner[0])}" if inner else "a list [A, B]"
    parts = [each for each in get_args(kind) if each is not type(None)]
    return _or([_kind(each) for each in parts]) if parts else str(getattr(kind, "__name__", kind))


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [choice for each in get_args(kind) for choice in _choices(each)]


def _or(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{','.join(map(str, value))}]"
    return str(value)
