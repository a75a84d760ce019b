"""A group of commands whose modules are imported when a command is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vmie_tui.lazy import load


class LazyGroup(click.Group):
    """``lazy``: a command's name: the module in vmie_tui.commands, and what it calls the command."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        command: click.Command = load(f"vmie_tui.commands.{self._lazy[cmd_name]}")
        return command
