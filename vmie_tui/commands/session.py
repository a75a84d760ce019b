"""One invocation's settings, and how the app is opened. The first paint waits for this module, so no click in it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import threading
from pathlib import Path

from vmie_tui import settings as settings_module
from vmie_tui.model.errors import EXIT_OK, VmieError
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.settings import Settings

REVIVE_SECONDS = 1.0  # after the first paint


class Session:
    """The settings of one invocation, read when first needed: ``--help`` must work with a broken file."""

    def __init__(self, profile: str | None = None, *, read_only: bool = False) -> None:
        self.profile_name, self.read_only = profile, read_only
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = settings_module.load(self.profile_name, read_only=self.read_only)
            REFUSED.share(self._settings.state_dir, heed=False)
        return self._settings

    def use(self, state_dir: Path) -> Settings:
        """Settings with another state folder."""
        self._settings = settings_module.load(self.profile_name, state_dir=state_dir, read_only=self.read_only)
        REFUSED.share(state_dir, heed=False)
        return self._settings

    def reload(self) -> Settings:
        self._settings = None
        return self.settings


def open_app(session: Session) -> int:
    """The app; where nothing is configured yet, first the questions that configure it. Its exit code."""
    settings = session.settings
    if settings.configured or session.profile_name or "VMIE_PROFILE" in os.environ:
        return run_app(settings)
    from vmie_tui.screens import guide

    outcome, password = guide.run(settings, mouse="SSH_CONNECTION" not in os.environ)
    if outcome == guide.DEMO:
        code: int = importlib.import_module("vmie_tui.commands.demo").open_demo(session)
        return code
    return run_app(session.reload(), password) if outcome == guide.SAVED else EXIT_OK


def run_app(settings: Settings, password: str = "") -> int:
    """Run the app until it is closed; its exit code. Jobs that nobody moves get a worker once the app stands.

    ``password``: vCenter's, when it was typed already.
    """
    timer = threading.Timer(REVIVE_SECONDS, _revive_worker, (settings,))
    timer.daemon = True
    timer.start()
    gc.disable()  # what is imported and parsed up to the first paint stays; the app collects from then on
    try:
        code: int = importlib.import_module("vmie_tui.app").run(settings, password=password)
    finally:
        gc.enable()
        timer.cancel()
    return code


def _revive_worker(settings: Settings) -> None:
    """Start a worker if jobs are under way and their worker was killed. A failure is the app's to show."""
    if settings.read_only:
        return
    from vmie_tui.jobs.client import JobClient

    client = JobClient(settings)
    with contextlib.suppress(VmieError):
        status = client.worker()
        if not status.alive and (status.running or status.queued):
            client.ensure_worker()
    client.close()
