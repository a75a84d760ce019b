"""The screens of the modes, each imported when its mode is first entered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.screen import Screen


def inventory() -> Screen[bool]:
    from vmie_tui.screens.inventory.screen import InventoryScreen

    return InventoryScreen()


def jobs() -> Screen[bool]:
    from vmie_tui.screens.jobs.screen import JobsScreen

    return JobsScreen()


def tasks() -> Screen[bool]:
    from vmie_tui.screens.tasks.screen import TasksScreen

    return TasksScreen()


def exports() -> Screen[bool]:
    from vmie_tui.screens.exports.screen import ExportsScreen

    return ExportsScreen()


def replication() -> Screen[bool]:
    from vmie_tui.screens.replication.screen import ReplicationScreen

    return ReplicationScreen()


def setup() -> Screen[bool]:
    from vmie_tui.screens.setup.screen import SetupScreen

    return SetupScreen()


MODES: dict[str, str | Callable[[], Screen[bool]]] = {
    "inventory": inventory,
    "jobs": jobs,
    "tasks": tasks,
    "exports": exports,
    "replication": replication,
    "setup": setup,
}
