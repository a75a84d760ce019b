"""Every screen that is opened from another feature, imported when it is first opened: the first paint needs one alone.

A function here has the signature of its screen, so that callers are type-checked; tests/screens/test_registry.py holds
the two together. A screen of another feature is opened by this table only, so that no feature imports another to and
fro.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from textual.screen import Screen

from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.screens.frame.actions import Action

if TYPE_CHECKING:  # of signatures; to import them takes longer than the first paint may wait
    from vmie_tui.model.machine import Machine
    from vmie_tui.model.replication import ReplicationView
    from vmie_tui.operations.import_plan import Draft
    from vmie_tui.widgets.machines import Scope

P = ParamSpec("P")
S = TypeVar("S")


class ScreenAt(Generic[P, S]):
    """A screen by its place, "module:Class" below vmie_tui.screens; called as its class is."""

    def __init__(self, place: str, signature: Callable[P, S]) -> None:
        self.place, self.signature = place, signature

    def load(self) -> Callable[P, S]:
        module, _, name = self.place.partition(":")
        found: Callable[P, S] = getattr(import_module(f"vmie_tui.screens.{module}"), name)
        return found

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> S:
        return self.load()(*args, **kwargs)


def _at(place: str) -> Callable[[Callable[P, S]], ScreenAt[P, S]]:
    return partial(ScreenAt, place)


# -- the modes


@_at("inventory.screen:InventoryScreen")
def inventory() -> Screen[bool]: ...


@_at("jobs.screen:JobsScreen")
def jobs() -> Screen[bool]: ...


@_at("tasks.screen:TasksScreen")
def tasks() -> Screen[bool]: ...


@_at("exports.screen:ExportsScreen")
def exports() -> Screen[bool]: ...


@_at("replication.screen:ReplicationScreen")
def replication() -> Screen[bool]: ...


@_at("setup.screen:SetupScreen")
def setup() -> Screen[bool]: ...


MODES: dict[str, str | Callable[[], Screen[bool]]] = {
    "inventory": inventory,
    "jobs": jobs,
    "tasks": tasks,
    "exports": exports,
    "replication": replication,
    "setup": setup,
}


# -- what the app asks


@_at("frame.help:HelpScreen")
def help_screen(title: str, actions: tuple[Action, ...], *, verdicts: bool = False) -> Screen[None]: ...


@_at("frame.password:PasswordScreen")
def password_screen(host: str, user: str, reason: str = "", *, asked: str = "password") -> Screen[str | None]: ...


@_at("setup.profile_picker:ProfileScreen")
def profile_picker(profiles: Sequence[ProfileInfo], used: str) -> Screen[str | None]: ...


# -- what other screens open


@_at("inventory.folders:FolderScreen")
def folder_picker(machines: Sequence[Machine]) -> Screen[Scope | None]: ...


@_at("inventory.open_source:OpenScreen")
def open_source() -> Screen[bool]: ...


@_at("inventory.preflight_report:ReportScreen")
def preflight_report(machines: Sequence[Machine]) -> Screen[bool]: ...


@_at("wizard.screen:import_machines")
def import_machines(profile: ProfileInfo, machines: Sequence[Machine]) -> Screen[bool]: ...


@_at("wizard.screen:WizardScreen")
def import_draft(draft: Draft) -> Screen[bool]: ...


@_at("replication.form:ReplicationForm")
def replication_form(machines: Sequence[Machine], *, edit: ReplicationView | None = None) -> Screen[bool]: ...


@_at("jobs.detail:JobScreen")
def job_detail(job_id: str) -> Screen[bool]: ...
