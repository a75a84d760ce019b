"""What doctor found as Markdown, for a ticket or for an administrator."""

from __future__ import annotations

from vmie_tui.model.doctor import Check, CheckState, DoctorReport, Group
from vmie_tui.model.formatting import plain


def counted(checks: tuple[Check, ...]) -> str:
    """``✖ 2  ▲ 1  ✔ 20  – 3``, the worst first; states that none has are left out."""
    order = (CheckState.FAILED, CheckState.WARNING, CheckState.OK, CheckState.SKIPPED)
    counts = [(state.glyph, sum(check.state is state for check in checks)) for state in order]
    return "  ".join(f"{glyph} {count}" for glyph, count in counts if count)


def markdown(report: DoctorReport) -> str:
    """All checks by group, with the remedy and the exact changes of what is wrong."""
    lines = [f"# Setup of {plain(report.profile)}", "", counted(report.checks), ""]
    for group in Group:
        checks = [check for check in report.checks if check.group is group]
        if checks:
            lines += [f"## {group.label}", ""]
            for check in checks:
                lines += _check(check)
            lines.append("")
    return "\n".join(lines)


def _check(check: Check) -> list[str]:
    lines = [f"- {check.state.glyph} **{_line(check.title)}** {_line(check.reason)}".rstrip()]
    if check.remedy and check.state is not CheckState.OK:
        lines.append(f"  Remedy: {_line(check.remedy)}")
    if check.fix is not None:
        lines.append(f"  Fix: {_line(check.fix.words)}")
        for change in check.fix.changes:
            lines += ["", f"  {change.operation} {_line(change.target)}", "", "  ```diff"]
            lines += [f"  {plain(line)}" for line in change.diff]
            lines += ["  ```", ""]
    return lines


def _line(text: str) -> str:
    return plain(" ".join(text.split()))
