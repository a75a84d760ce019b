"""What the registry and the volume of a Windows system say about its import."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import size
from vmie_tui.model.guest import WindowsFacts
from vmie_tui.model.rules.supported_systems import check_listed
from vmie_tui.model.rules.systems import identify

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
ROOM = 6 << 30
US_ENGLISH = "0409"
DOTNET_45 = 378389  # the Release value of .NET Framework 4.5


def check_windows(windows: WindowsFacts) -> Iterator[Finding]:
    """Findings about one system."""
    yield from _system(windows)
    yield from _blockers(windows)
    yield from _warnings(windows)
    yield from _remarks(windows)


def _system(windows: WindowsFacts) -> Iterator[Finding]:
    if windows.installation.lower() == "nano server":
        yield Finding(
            B, "it is a Nano Server installation", windows.product, "Nano Server is not supported",
            facts.error("E15")["message"], "Install Server Core instead", "IC20", "unsupported-os",
        )  # fmt: skip
        return
    if windows.product:
        yield from check_listed(identify("", windows.product), windows.product)


def _blockers(windows: WindowsFacts) -> Iterator[Finding]:
    boot = facts.error("E21")["message"]
    name = windows.computer or windows.volume
    if windows.rdp_denied:
        yield Finding(
            B, "Remote Desktop is switched off", name, "The instance could not be reached", boot,
            "Allow Remote Desktop, in the firewall too", "F141", "rdp-denied",
        )  # fmt: skip
    if windows.hyper_v:
        yield Finding(
            B, "the Hyper-V role is installed", name, "Servers with that role are not supported", boot,
            "Remove the role", "F092", "hyper-v",
        )  # fmt: skip
    if windows.pending_reboot:
        yield Finding(
            B, "a restart is pending", name, "Updates would be installed at the first start on EC2", boot,
            "Restart it until nothing is pending", "F145", "pending-reboot",
        )  # fmt: skip
    if windows.auto_logon:
        yield Finding(
            B, "automatic logon is on", name, "It keeps the import from finishing its first start", boot,
            "Switch automatic logon off", "F144", "auto-logon",
        )  # fmt: skip
    if windows.free is not None and windows.free < ROOM and not windows.free_at_least:
        yield Finding(
            B, f"{size(windows.free)} are free on the system volume", windows.volume,
            f"VM import wants {ROOM >> 30} GiB", "", "Make room, or enlarge the disk", "F123", "low-space",
        )  # fmt: skip


def _warnings(windows: WindowsFacts) -> Iterator[Finding]:
    name = windows.computer or windows.volume
    if windows.vmware_tools:
        yield Finding(
            W, "VMware Tools are installed", name, "AWS asks to remove them", "", "Remove them before the last copy",
            "F129", "vmware-tools",
        )  # fmt: skip
    if windows.hibernation:
        hibernated = windows.hibernation == "hibernated"
        yield Finding(
            W, "Windows is hibernated, or was shut down by fast startup" if hibernated else "Windows uses fast startup",
            name, "Its memory waits in hiberfil.sys, and its file system was not closed" if hibernated else
            "It was resumed from hiberfil.sys; a shutdown may leave its file system open", "",
            "Switch fast startup off (powercfg /h off), shut it down fully (shutdown /s /t 0), and look again", "F133",
            "hibernated",
        )  # fmt: skip
    if any(line.startswith("?:") for line in windows.paging or ()):
        yield Finding(
            W, "Windows chooses the size of its page file", name, "It may create one of 16 GB on C:", "",
            "Set a fixed size", "F124", "auto-pagefile",
        )  # fmt: skip
    if windows.static_addresses:
        yield Finding(
            W, "an address is set by hand", ", ".join(windows.static_addresses),
            "Static addresses are removed at import", "", "Switch the interface to DHCP", "F132", "static-ip",
        )  # fmt: skip
    if windows.language and windows.language.lower() != US_ENGLISH:
        yield Finding(
            W, f"it was installed in the language {windows.language}", name,
            "A client must be set to US English during import; other language packs may fail", "",
            "Set the language to US English (0409)", "F088" if windows.client else "F091", "language",
        )  # fmt: skip


def _remarks(windows: WindowsFacts) -> Iterator[Finding]:
    name = windows.computer or windows.volume
    if windows.dotnet is not None and windows.dotnet < DOTNET_45:
        yield Finding(
            I, ".NET Framework is older than 4.5", name, "The import installs it when needed", "", "", "F143", "dotnet"
        )
    if windows.sysprep is not None:
        state = "generalized" if windows.sysprep == 7 else f"in state {windows.sysprep}"
        yield Finding(
            I, f"Sysprep says the system is {state}", name, "Sysprep may be run before or after the import", "", "",
            "F149", "sysprep",
        )  # fmt: skip
