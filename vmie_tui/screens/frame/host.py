"""The app as its screens see it: what they ask it for, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, cast

from textual.dom import DOMNode

from vmie_tui.model.errors import Problem
from vmie_tui.model.job import JobView
from vmie_tui.operations.operations import Operations

if TYPE_CHECKING:
    from vmie_tui.model.preflight import Preflight


class Host(Protocol):
    """`VmieApp` in production. What a screen watches (``jobs``, ``jobs_problem``, ``wanted_job``) is reactive."""

    operations: Operations
    now: Callable[[], datetime]  # the clock; aware times
    jobs: tuple[JobView, ...] | None  # None until they are read for the first time
    jobs_problem: Problem | None  # why the jobs cannot be read
    wanted_job: str  # just started: the list of jobs moves its cursor there
    preflights: dict[str, Preflight]  # by `Machine.key`: the disks that this session has looked into

    def poll_now(self) -> None:
        """Read the jobs at once, as after a key that changes one."""

    def show_list(self, mode: str) -> None:
        """Enter a mode at its list; pages that are open there are closed."""

    def vcenter_busy(self) -> None: ...
    def vcenter_ok(self) -> None: ...
    def vcenter_bad(self, problem: Problem) -> None: ...

    def ask_password(self, reason: str = "") -> object:
        """Ask for the vCenter password; screens are told by `FrameScreen.vcenter_login`."""

    def action_login(self) -> None:
        """Check the AWS login again, and ask for what a login lacks."""


def host_of(node: DOMNode) -> Host:
    """The app that a screen or widget is in."""
    return cast("Host", node.app)
