"""Groups of commands whose modules are imported when they are asked for."""

from __future__ import annotations

import importlib

import click


class LazyGroup(click.Group):
    """Commands are functions in modules of their own name.

    Attributes:
        package: where the modules are.
        names: the commands, in the order of the help.
    """

    package = ""
    names: tuple[str, ...] = ()

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.names)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.names:
            return None
        return getattr(importlib.import_module(f"{self.package}.{name}"), name)
