"""A group of commands whose modules are imported when a command is asked for, and not for the list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from vmie_tui.lazy_modules import load


class LazyGroup(click.Group):
    """``lazy``: a command's name: where it stands below vmie_tui.commands, and what its help begins with."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        command: click.Command = load(f"vmie_tui.commands.{self._lazy[cmd_name][0]}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        room = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=self._help_of(name)).get_short_help_str(room)) for name in names]
            )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self._help_of(name)) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def _help_of(self, name: str) -> str:
        return self._lazy[name][1]
