"""Click options made from dataclasses of options, and a help that shows them in groups."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields

import click

from detkit.pipeline.fields import Spec, specs

# What click shall convert itself, for a wrong value to be told with the usage.
_TYPES = {int: click.INT, float: click.FLOAT}


def options_of(*classes: type) -> Callable:
    """A decorator that gives a command an option for each field of dataclasses of `detkit.pipeline.options`.

    The function gets the values by the fields' names. Beside what `detkit.pipeline.fields.option` says, a field's
    metadata may have `flags`, the option's names on the command line, and `metavar`.
    """
    made = [_option(cls, field, specs(cls)[field.name]) for cls in classes for field in fields(cls)]

    def decorate(function):
        for option in reversed(made):
            function = option(function)
        return function

    return decorate


def given(context: click.Context, classes: Sequence[type]) -> dict:
    """The values of these classes' fields that stand on the command line; the others keep their defaults."""
    names = [field.name for cls in classes for field in fields(cls)]
    default = click.core.ParameterSource.DEFAULT
    return {name: context.params[name] for name in names if context.get_parameter_source(name) is not default}


class GroupedCommand(click.Command):
    """A command whose help shows the options of each class of `groups` under its docstring."""

    groups: Sequence[type] = ()

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(context) if isinstance(each, click.Option)]
        rows = {option.name: option.get_help_record(context) for option in options}
        for cls in self.groups:
            own = [rows.pop(field.name) for field in fields(cls) if field.name in rows]
            if own:
                with formatter.section(cls.__doc__.splitlines()[0].rstrip(".")):
                    formatter.write_dl(own)
        with formatter.section("Other options"):
            formatter.write_dl(list(rows.values()))


def _option(cls: type, field, spec: Spec) -> Callable:
    metadata, default = spec.metadata, None if field.default is MISSING else field.default
    kind = click.Choice(metadata["choices"]) if "choices" in metadata else _type(cls, field.name, spec)
    boolean = spec.kind is bool
    return click.option(
        *metadata.get("flags", (_flags(field.name, boolean and default is not False),)),
        field.name,
        type=None if boolean else kind,
        is_flag=boolean,
        multiple=spec.repeated,
        default=_shown(default),
        show_default=_shown(default) is not None,
        metavar=metadata.get("metavar"),
        help=metadata["help"],
    )


def _type(cls: type, name: str, spec: Spec) -> click.ParamType:
    """What click checks; where words are taken beside numbers, nothing."""
    words = str in typing.get_args(typing.get_type_hints(cls)[name])
    return click.STRING if words else _TYPES.get(spec.kind, click.STRING)


def _flags(name: str, both: bool) -> str:
    dashed = name.replace("_", "-")
    return f"--{dashed}/--no-{dashed}" if both else f"--{dashed}"


def _shown(default):
    """What the help shows as the default: None where there is none, and no Python notation."""
    if default is None or default is False or default == ():
        return None
    return default if isinstance(default, (bool, int, float)) else str(default)
