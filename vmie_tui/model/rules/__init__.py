"""The rules of VM import: pure functions over model values that return findings, worst first."""

from vmie_tui.model.rules.account import check_account
from vmie_tui.model.rules.licensing import check_licence
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.plan import check_plan

__all__ = ["check_account", "check_licence", "check_machine", "check_plan"]
