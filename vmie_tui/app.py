"""The application: its modes, the status of vCenter, AWS and the worker, logins, and the profile in use."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.worker import get_current_worker

from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.gc_pause import collector_paused
from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.model.formatting import plain
from vmie_tui.model.job import JobView, WorkerStatus
from vmie_tui.operations.operations import Operations
from vmie_tui.operations.profile import AwsStatus
from vmie_tui.screens.frame.actions import APP, bindings
from vmie_tui.screens.frame.base import FrameScreen
from vmie_tui.screens.frame.palette import ActionProvider
from vmie_tui.screens.frame.theme import ThemedApp
from vmie_tui.screens.registry import MODES, explain_ahead, help_screen, password_screen, profile_picker
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.settings import Settings
from vmie_tui.widgets.frame import Health, Part, Status, TitleBar

if TYPE_CHECKING:
    from vmie_tui.model.preflight import Preflight

PASSING = "passing"  # the mode shown while the screens of all others are rebuilt
POLL_SECONDS = 0.5  # the worker writes progress twice a second
MFA_NEEDED = "MfaCodeNeeded"  # as services.aws.sign_in says, which is not imported before the first paint
QUIET_POLL_SECONDS = 2.0  # on other screens, for the worker's count in the status line


class VmieApp(ThemedApp):
    """The app over any `Operations`; ``now`` is the clock (aware times)."""

    MODES: ClassVar[dict[str, str | Callable[[], Screen[bool]]]] = MODES
    DEFAULT_MODE = "inventory"
    COMMANDS = {ActionProvider}  # noqa: RUF012 - Textual's own type
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(APP)]

    # Not `reactive`: a change of those paints the whole screen again.
    status: var[Status] = var(Status)
    jobs: var[tuple[JobView, ...] | None] = var(None)
    jobs_problem: var[Problem | None] = var(None)
    wanted_job: var[str] = var("")  # just started: the list of jobs moves its cursor there
    preflights: var[dict[str, Preflight]] = var(dict)  # by `Machine.key`: the disks this session has inspected

    class JobsRead(Message):
        def __init__(self, jobs: tuple[JobView, ...], worker: WorkerStatus) -> None:
            super().__init__()
            self.jobs, self.worker = jobs, worker

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, VmieApp.JobsRead)

    class JobsUnread(Message):
        def __init__(self, problem: Problem) -> None:
            super().__init__()
            self.problem = problem

    class Switched(Message):
        """The operations are those of the profile ``name`` now, unless there is a problem."""

        def __init__(self, name: str, problem: Problem | None = None) -> None:
            super().__init__()
            self.name, self.problem = name, problem

    class AwsKnown(Message):
        def __init__(self, status: AwsStatus | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.status, self.problem = status, problem

    def __init__(self, operations: Operations, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__()
        self.operations = operations
        self.now = now
        self._poll, self._closing = threading.Event(), False
        self._worker_seen: WorkerStatus | None = None
        self._reviving = False  # whether a worker is being started
        self._aws_problem: Problem | None = None
        self.set_reactive(VmieApp.status, self._first_status())

    def _first_status(self) -> Status:
        profile = self.operations.profile
        aws = Part(" ".join(part for part in ("aws", profile.aws_profile) if part), text=profile.region)
        if profile.vcenter:
            return Status(Part(profile.vcenter), aws)
        return Status(Part("vcenter", Health.OFF, "not configured"), aws)

    def on_mount(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, 128 + number)
        self.call_after_refresh(self._start_watching)

    def _start_watching(self) -> None:
        """After the first paint, in threads: boto3 and the job store are imported here."""
        gc.enable()
        gc.freeze()  # imported modules stay: no full collection walks them again and stalls the event loop
        self._follow_jobs()
        self.check_aws()

    def on_unmount(self) -> None:
        self._closing = True
        self._poll.set()

    # -- jobs and worker

    @work(thread=True, exclusive=True, group="jobs", exit_on_error=False)
    def _follow_jobs(self) -> None:
        worker, last = get_current_worker(), None
        while not (worker.is_cancelled or self._closing):
            try:
                with collector_paused() if last is None else nullcontext():  # the first one imports the job store
                    seen = tuple(self.operations.jobs.jobs()), self.operations.jobs.worker()
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                self.post_message(self.JobsUnread(problem_of(error)))
            else:
                if seen != last:
                    if any(job.problem for job in seen[0]):
                        explain_ahead(seen[0])
                    self.post_message(self.JobsRead(*seen))
                last = seen
            self._poll.wait(POLL_SECONDS if self.current_mode == "jobs" else QUIET_POLL_SECONDS)
            self._poll.clear()

    def poll_now(self) -> None:
        """Read the jobs at once, as after a key that changes one."""
        self._poll.set()

    @work(thread=True, exclusive=True, group="schedules", exit_on_error=False)
    def _revive_worker(self) -> None:
        """Start a worker if jobs are unfinished or replications are scheduled, and none runs."""
        try:
            if not self.operations.profile.read_only:
                self.operations.replications.ensure_worker()
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            words = f"Replications wait for a worker: {plain(str(problem_of(error)))}"
            self.call_from_thread(self.notify, words, severity="error", markup=False)
        else:
            self.poll_now()
        finally:
            self.call_from_thread(self._revived)

    def _revived(self) -> None:
        self._reviving = False
        self._show_worker()

    @on(JobsRead)
    def _jobs_read(self, event: JobsRead) -> None:
        if self.jobs is None:
            self._reviving = not self.operations.profile.read_only
            self._revive_worker()
        self.jobs, self.jobs_problem = event.jobs, None
        self._worker_seen = event.worker
        self._show_worker()

    def _show_worker(self) -> None:
        """Red is for a worker that died or could not start."""
        worker = self._worker_seen
        if worker is None or self.jobs_problem is not None:
            return
        busy = [f"{worker.running} running"] if worker.running else []
        busy += [f"{worker.queued} waiting"] if worker.queued else []
        if worker.starting or (self._reviving and busy and not worker.alive):
            part = Part("worker", Health.UNKNOWN, "starting")
        elif worker.alive:
            part = Part("worker", Health.OK, ", ".join(busy) or "idle")
        elif worker.silent_since is not None:
            since = f"{worker.silent_since.astimezone():%H:%M:%S}"
            part = Part("worker", Health.BAD, f"not responding since {since}; end it with: vmie-tui worker --stop")
        elif worker.problem is not None:
            what, detail = worker.problem.what.removeprefix("the worker "), worker.problem.detail
            part = Part("worker", Health.BAD, f"{what} ({detail})" if detail else what)  # one line is all there is
        elif busy:
            part = Part("worker", Health.BAD, "is not running; r on a job of the list starts it, or: vmie-tui worker")
        else:
            part = Part("worker", Health.OFF, "off")
        self.status = replace(self.status, worker=part)

    @on(JobsUnread)
    def _jobs_unread(self, event: JobsUnread) -> None:
        self.jobs_problem = event.problem
        self.status = replace(self.status, worker=Part("worker", Health.BAD, str(event.problem)))

    # -- vCenter and AWS

    def vcenter_busy(self) -> None:
        self.status = replace(self.status, vcenter=replace(self.status.vcenter, health=Health.UNKNOWN, text=""))

    def vcenter_ok(self) -> None:
        user = self.operations.profile.vcenter_user.split("@")[0]
        self.status = replace(self.status, vcenter=replace(self.status.vcenter, health=Health.OK, text="", extra=user))

    def vcenter_bad(self, problem: Problem) -> None:
        text = problem.what + (": press L" if problem.kind is ErrorKind.LOGIN else ": press r")
        part = replace(self.status.vcenter, health=Health.BAD, text=text, extra="")
        self.status = replace(self.status, vcenter=part)

    @work(thread=True, exclusive=True, group="aws", exit_on_error=False)
    def check_aws(self, mfa_code: str = "") -> None:
        worker = get_current_worker()
        try:
            with collector_paused():  # boto3 is imported
                known = self.AwsKnown(self.operations.aws_status(mfa_code))
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            known = self.AwsKnown(None, problem_of(error))
        if not worker.is_cancelled:  # asked again since, or of another profile
            self.post_message(known)

    @on(AwsKnown)
    def _aws_known(self, event: AwsKnown) -> None:
        region = self.operations.profile.region
        self._aws_problem = event.problem
        if event.status is not None:
            part = Part("aws", Health.OK, f"{event.status.account} {region}", event.status.user)
        else:
            reason = event.problem.what if event.problem else ""
            part = Part("aws", Health.BAD, f"{reason}: press L")
        self.status = replace(self.status, aws=part)

    def action_login(self) -> None:
        """Check AWS again, with an MFA code if it asks for one; ask for the vCenter password if that login failed."""
        if self._aws_problem is not None and self._aws_problem.code == MFA_NEEDED:
            self._ask_mfa_code(self._aws_problem)
            return
        self.check_aws()
        if self.status.vcenter.health is Health.BAD or not self.operations.profile.vcenter:
            self.ask_password(self.status.vcenter.text.removesuffix(": press L").removesuffix(": press r"))

    @work(thread=False, exclusive=True, group="password", exit_on_error=False)
    async def _ask_mfa_code(self, problem: Problem) -> None:
        profile = self.operations.profile.aws_profile or "default"
        reason = f"{problem.what} {problem.subject}".strip()
        code = await self.push_screen_wait(password_screen("AWS", profile, reason, asked="MFA code"))
        self.check_aws((code or "").strip())  # without one, too: it may have been typed in another terminal

    @work(thread=False, exclusive=True, group="password", exit_on_error=False)
    async def ask_password(self, reason: str = "") -> None:
        profile = self.operations.profile
        if not profile.vcenter:
            return
        password = await self.push_screen_wait(password_screen(profile.vcenter, profile.vcenter_user, reason))
        if password is not None:
            self.operations.vcenter.set_password(password)
            for screen in self.screen_stack:
                if isinstance(screen, FrameScreen):
                    screen.vcenter_login()

    # -- another profile

    def action_profiles(self) -> None:
        profiles = self.operations.profiles()
        if len(profiles) < 2:
            name = self.operations.profile.config_file
            self._say(f"There is one profile only; {name} may have more, as [profiles.NAME.aws].")
        elif any(len(stack) > 1 for stack in self._screen_stacks.values()):
            self._say("A page is open that belongs to this profile: close it first (esc).")
        else:
            self.push_screen(profile_picker(profiles, self.operations.profile.name), self._picked)

    def _say(self, text: str, *, error: bool = False) -> None:
        self.notify(text, severity="error" if error else "information", markup=False)

    def _picked(self, name: str | None) -> None:
        if name is not None:
            self._switch(name)

    @work(thread=True, exclusive=True, group="switch", exit_on_error=False)
    def _switch(self, name: str) -> None:
        try:
            self.operations.switch(name)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Switched(name, problem_of(error)))
        else:
            self.post_message(self.Switched(name))

    @on(Switched)
    async def _switched(self, event: Switched) -> None:
        """Rebuild every screen: what the old ones show, and are still reading, belongs to the other profile."""
        if event.problem is not None:
            self._say(f"{event.name}: {event.problem.what}", error=True)
            return
        mode = self.current_mode
        self.add_mode(PASSING, Screen)
        await self.switch_mode(PASSING)
        for name, make in MODES.items():
            await self.remove_mode(name)
            self.add_mode(name, make)
        self._forget_profile()
        await self.switch_mode(mode)
        await self.remove_mode(PASSING)
        self._say(f"Profile {event.name}")

    def _forget_profile(self) -> None:
        """Drop what is known of the old profile, whose screens are gone by now."""
        self.preflights = {}
        self.status = replace(self._first_status(), worker=self.status.worker)
        self.check_aws()
        self._revive_worker()

    # -- actions

    @on(TitleBar.ModeClicked)
    def _mode_clicked(self, event: TitleBar.ModeClicked) -> None:
        self.action_mode(event.mode)

    def action_mode(self, mode: str) -> None:
        if mode != self.current_mode:
            self.switch_mode(mode)
            self.poll_now()

    def show_list(self, mode: str) -> None:
        """Enter a mode at its list; pages left open there are closed, as esc would close them."""
        self.action_mode(mode)
        for page in self.screen_stack[:0:-1]:
            if page is self.screen:
                page.dismiss(None)

    def action_help(self) -> None:
        screen = self.screen
        if isinstance(screen, FrameScreen):
            title = screen.HELP_TITLE or type(screen).__name__.removesuffix("Screen")
            self.push_screen(help_screen(title, screen.ACTIONS, verdicts=screen.MODE == "inventory"))


def run(settings: Settings, *, profile: str | None = None, mouse: bool | None = None, password: str = "") -> int:
    """Run the app until the user leaves; the process exit code. ``mouse`` None: on, but off over SSH.

    Raises SettingsError when the named profile does not exist.
    """
    chosen = settings.profile(profile)
    REFUSED.share(settings.state_dir, heed=True)  # what a worker was refused the app does not send either
    app = VmieApp(Operations(settings, chosen, password))
    app.run(mouse="SSH_CONNECTION" not in os.environ if mouse is None else mouse)
    return app.return_value if app.return_value is not None else app.return_code or EXIT_OK
