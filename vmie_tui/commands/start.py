"""How the app is opened. The first paint waits for this module, so no click in it."""

from __future__ import annotations

import gc
import os

from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.lazy_modules import load
from vmie_tui.operations.profile import FirstStart
from vmie_tui.services import sqlite
from vmie_tui.settings import Settings
from vmie_tui.terminal_hangup import watch_terminal

# What opens, each imported when it is opened: the one that the user sees first waits for no other.
APP = "vmie_tui.app:run"
FIRST_START = "vmie_tui.screens.setup.first_start:run"
DEMO = "vmie_tui.commands.demo:open_demo"


def open_app(session: Session) -> int:
    """The app; where nothing is configured yet, first the questions that configure it. Its exit code."""
    watch_terminal()
    settings = session.settings
    if settings.configured or session.profile_name or "VMIE_PROFILE" in os.environ:
        return run_app(settings)
    outcome, password = load(FIRST_START)(settings, mouse="SSH_CONNECTION" not in os.environ)
    if outcome is FirstStart.DEMO:
        code: int = load(DEMO)(session)
        return code
    return run_app(session.reload(), password) if outcome is FirstStart.SAVED else EXIT_OK


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
        code: int = load(APP)(settings, password=password)
    finally:
        gc.enable()
    return code
