"""How the wizard speaks of licences: which can be chosen for these machines, and what each one means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmie_tui.model import facts
from vmie_tui.model.form_option import Option
from vmie_tui.model.machine import Machine, OsFamily
from vmie_tui.model.plan import LicenseType
from vmie_tui.model.rules.licensing import usage_operations

USAGE = "usage"  # the third choice: a usage operation instead of a licence type
FAMILIES = {
    OsFamily.LINUX: "Linux",
    OsFamily.WINDOWS_SERVER: "Windows Server",
    OsFamily.WINDOWS_CLIENT: "Windows client",
    OsFamily.OTHER: "unlisted system",
}
WINDOWS = frozenset({OsFamily.WINDOWS_SERVER, OsFamily.WINDOWS_CLIENT})


def families_of(machines: Iterable[Machine]) -> frozenset[OsFamily]:
    return frozenset(machine.os_family for machine in machines)


def licence_options(machines: Sequence[Machine]) -> tuple[Option, ...]:
    """BYOL, AWS-provided, usage operation; each with what it means or why it cannot be."""
    not_server = [m for m in machines if m.os_family in {OsFamily.LINUX, OsFamily.WINDOWS_CLIENT}]
    own = f"the only one for {FAMILIES[not_server[0].os_family]}" if not_server else "the source's licence goes on"
    aws_refused = ""
    if not_server:
        others = len(not_server) < len(machines)
        aws_refused = "Windows Server only" + (f", {not_server[0].name} is not" if others else "")
    usage_refused = "" if usage_options(families_of(machines)) else "no code fits all of these systems"
    return (
        Option(LicenseType.BYOL.value, "Bring your own (BYOL)", own),
        Option(LicenseType.AWS.value, "AWS-provided", "a new licence, billed by AWS", aws_refused),
        Option(USAGE, "Usage operation", "also covers SQL Server", usage_refused),
    )


def usage_options(families: frozenset[OsFamily]) -> tuple[tuple[str, str], ...]:
    """(code, meaning) of the usage operations that fit every machine; meanings of one code are joined."""
    sets = [dict.fromkeys(code for code, _ in usage_operations(family)) for family in families]
    codes = [code for code in sets[0] if all(code in other for other in sets)] if sets else []
    words: dict[str, list[str]] = {}
    for code, text in usage_operations(next(iter(families), OsFamily.OTHER)):
        if code in codes:
            words.setdefault(code, []).append(text)
    return tuple((code, " / ".join(texts)) for code, texts in words.items())


def licence_words(machines: Sequence[Machine], licence: str) -> list[str]:
    """What the choice means, in a few sentences of the guides."""
    rules = {rule["id"]: rule for rule in facts.load("licences")["license_rules"]}
    if licence == LicenseType.BYOL.value:
        words = ["You keep the source system's licence and are responsible for it."]
        if families_of(machines) & WINDOWS:
            words.append(rules["LR13"]["rule"].split(" only when")[0] + " only on a Dedicated Host, among others.")
        if any("red hat" in m.os_name.lower() or "rhel" in m.os_name.lower() for m in machines):
            words.append(rules["LR7"]["rule"])
        if any("suse" in m.os_name.lower() for m in machines):
            words.append(rules["LR8"]["rule"])
        return words
    if licence == LicenseType.AWS.value:
        return ["AWS replaces the source licence by its own and bills it with the instance."]
    if licence == USAGE:
        return [rules["LR9"]["rule"], rules["LR10"]["rule"]]
    return ["Choose one. Left out, Windows Server gets an AWS licence, and is billed for it."]
