"""One invocation's settings, and how the app is opened. The first paint waits for this module, so no click in it."""

from __future__ import annotations

import gc
import importlib
import os

from vmie_tui import settings as settings_module
from vmie_tui.hangup import watch_terminal
from vmie_tui.model.errors import EXIT_OK
from vmie_tui.services import sqlite
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.settings import Settings


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

    def reload(self) -> Settings:
        self._settings = None
        return self.settings


def open_app(session: Session) -> int:
    """The app; where nothing is configured yet, first the questions that configure it. Its exit code."""
    watch_terminal()
    settings = session.settings
    if settings.configured or session.profile_name or "VMIE_PROFILE" in os.environ:
        return run_app(settings)
    from vmie_tui.screens.setup import first_start

    outcome, password = first_start.run(settings, mouse="SSH_CONNECTION" not in os.environ)
    if outcome == first_start.DEMO:
        code: int = importlib.import_module("vmie_tui.commands.demo").open_demo(session)
        return code
    return run_app(session.reload(), password) if outcome == first_start.SAVED else EXIT_OK


def check_machine(settings: Settings) -> None:
    """What nothing works without. Raises ServiceError LOCAL: the SQLite here is too old."""
    if not settings.database_url:
        sqlite.driver()


def run_app(settings: Settings, password: str = "") -> int:
    """Run the app until it is closed; its exit code.

    ``password``: vCenter's, when it was typed already. Raises ServiceError as `check_machine`.
    """
    check_machine(settings)
    gc.disable()  # what is imported and parsed up to the first paint stays; the app collects from then on
    try:
        code: int = importlib.import_module("vmie_tui.app").run(settings, password=password)
    finally:
        gc.enable()
    return code
