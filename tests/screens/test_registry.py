"""The table of screens says the truth: every place exists, and is called as the table's function is."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.kits.fake_backend import FakeOperations
from vmie_tui.app import VmieApp
from vmie_tui.screens import registry
from vmie_tui.screens.frame.host import Host
from vmie_tui.screens.registry import Deferred

SCREENS = {name: value for name, value in vars(registry).items() if isinstance(value, Deferred)}


def parameters(called: Any) -> list[tuple[str, Any, Any]]:
    return [(one.name, one.kind, one.default) for one in inspect.signature(called).parameters.values()]


@pytest.mark.parametrize("name", SCREENS)
def test_a_place_is_called_as_its_screen_is(name: str) -> None:
    screen = SCREENS[name]
    assert parameters(screen.load()) == parameters(screen.signature)


def test_the_app_is_what_its_screens_take_it_for() -> None:
    host: Host = VmieApp(FakeOperations())  # mypy compares the types
    asked = [name for name in (*Host.__annotations__, *vars(Host)) if not name.startswith("_")]
    assert "operations" in asked and "poll_now" in asked
    assert not [name for name in asked if not hasattr(host, name)]
