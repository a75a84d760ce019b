"""What is imported when it is first used: every screen that is opened from another feature, or by a key of the first.

The first paint needs the inventory alone. A function here has the signature of what stands at its place, so that mypy
checks the callers; tests/screens/test_registry.py holds the two together. Where two features open each other's screens
(inventory and wizard, inventory and replication), this table keeps them from importing each other.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from textual.screen import Screen

from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Machine
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.screens.frame.actions import Action
from vmie_tui.widgets.machines import Scope

if TYPE_CHECKING:  # of signatures; to import them takes longer than the first paint may wait
    from vmie_tui.model.replication import ReplicationView
    from vmie_tui.operations.import_plan import Draft

P = ParamSpec("P")
S = TypeVar("S")


class Deferred(Generic[P, S]):
    """A class or function by its place, "module:name" below vmie_tui; called as it is."""

    def __init__(self, place: str, signature: Callable[P, S]) -> None:
        self.place, self.signature = place, signature

    def load(self) -> Callable[P, S]:
        module, _, name = self.place.partition(":")
        found: Callable[P, S] = getattr(import_module(f"vmie_tui.{module}"), name)
        return found

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> S:
        return self.load()(*args, **kwargs)


def _at(place: str) -> Callable[[Callable[P, S]], Deferred[P, S]]:
    return partial(Deferred, place)


# -- the modes


@_at("screens.inventory.screen:InventoryScreen")
def inventory() -> Screen[bool]: ...


@_at("screens.jobs.screen:JobsScreen")
def jobs() -> Screen[bool]: ...


@_at("screens.tasks.screen:TasksScreen")
def tasks() -> Screen[bool]: ...


@_at("screens.exports.screen:ExportsScreen")
def exports() -> Screen[bool]: ...


@_at("screens.replication.screen:ReplicationScreen")
def replication() -> Screen[bool]: ...


@_at("screens.setup.screen:SetupScreen")
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


@_at("screens.frame.help:HelpScreen")
def help_screen(title: str, actions: tuple[Action, ...], *, verdicts: bool = False) -> Screen[None]: ...


@_at("screens.frame.password:PasswordScreen")
def password_screen(host: str, user: str, reason: str = "", *, asked: str = "password") -> Screen[str | None]: ...


@_at("screens.setup.profile_picker:ProfileScreen")
def profile_picker(profiles: Sequence[ProfileInfo], used: str) -> Screen[str | None]: ...


# -- what other screens open


@_at("screens.inventory.folders:FolderScreen")
def folder_picker(machines: Sequence[Machine]) -> Screen[Scope | None]: ...


@_at("screens.inventory.open_source:OpenScreen")
def open_source() -> Screen[bool]: ...


@_at("screens.inventory.preflight_report:ReportScreen")
def preflight_report(machines: Sequence[Machine]) -> Screen[bool]: ...


@_at("screens.wizard.screen:import_machines")
def import_machines(profile: ProfileInfo, machines: Sequence[Machine]) -> Screen[bool]: ...


@_at("screens.wizard.screen:WizardScreen")
def import_draft(draft: Draft) -> Screen[bool]: ...


@_at("screens.replication.form:ReplicationForm")
def replication_form(machines: Sequence[Machine], *, edit: ReplicationView | None = None) -> Screen[bool]: ...


@_at("screens.jobs.detail:JobScreen")
def job_detail(job_id: str) -> Screen[bool]: ...


# -- what the app's thread prepares


@_at("widgets.explained:look_up")
def explain_ahead(jobs: Iterable[JobView]) -> None: ...
