"""Groups of commands whose modules are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from narrows.cli.speaking import one_line_errors

__all__ = ["CommandOrDefault", "LazyGroup"]


class LazyGroup(click.Group):
    """A group of commands, each given as (module, name in it). Their errors become one line."""

    def __init__(self, *arguments: Any, lazy: Mapping[str, tuple[str, str]], **more: Any):
        super().__init__(*arguments, **more)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, name = self._lazy[cmd_name]
        return with_one_line_errors(getattr(import_module(module), name))


class CommandOrDefault(LazyGroup):
    """A group whose first word may name one of its commands; anything else is for the `default` command, whose help is
    the group's."""

    def __init__(self, name: str, default: click.Command, lazy: Mapping[str, tuple[str, str]]):
        super().__init__(name, lazy=lazy, short_help=default.short_help)
        self._default = with_one_line_errors(default)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self._lazy:
            return super().make_context(info_name, args, parent, **extra)
        return self._default.make_context(info_name, args, parent, **extra)

    def get_help(self, ctx: click.Context) -> str:
        return self._default.get_help(ctx)


def with_one_line_errors(command: click.Command) -> click.Command:
    """`command`, its errors that a user can cause said in one line."""
    if command.callback is not None and not hasattr(command.callback, "__wrapped__"):
        command.callback = one_line_errors(command.callback)
    return command
