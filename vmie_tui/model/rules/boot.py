"""How the imported machine will boot: BIOS or UEFI, what AWS converts, what a plan should ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Firmware, Machine, OsFamily
from vmie_tui.model.plan import BootMode, ImportPlan, Route
from vmie_tui.model.rules.systems import System, system_of

W, I = Severity.WARNING, Severity.INFO  # noqa: E741 - as in the other rules


@dataclass(frozen=True, slots=True)
class BootAdvice:
    """The boot mode to ask AWS for."""

    mode: BootMode | None  # None: leave the parameter out, AWS decides
    why: str
    fact: str


def advise_boot(firmware: Firmware, system: System) -> BootAdvice:
    """The boot mode to ask for."""
    if any(row.uefi_only for row in system.rows):
        return BootAdvice(BootMode.UEFI, f"{system.name} boots by UEFI only", "F100")
    if firmware is Firmware.BIOS:
        return BootAdvice(None, "The VM boots by BIOS, and AWS finds that out", "F094")
    if system.windows:
        return BootAdvice(None, "AWS finds out what Windows can boot by; uefi forces it", "F096")
    return BootAdvice(None, "AWS finds UEFI by the fallback loader on the EFI system partition", "F101")


def check_boot_machine(vm: Machine, route: Route = Route.IMAGE) -> Iterator[Finding]:
    """What the firmware asks of the guest."""
    if vm.firmware is Firmware.UEFI and vm.os_family is OsFamily.LINUX:
        yield _LOADER
    if vm.firmware is Firmware.UEFI and route is Route.INSTANCE:
        yield Finding(
            W,
            "instance import takes MBR disks only, and UEFI machines have GPT",
            vm.name,
            "",
            str(facts.error("E08")["message"]),
            "Import it as an image",
            "F268",
        )


_LOADER = Finding(
    I,
    "UEFI Linux needs EFI/BOOT/BOOTX64.EFI",
    why="EC2 starts the fallback loader",
    remedy="Check that the file is there",
    fact="F101",
    rule="efi-loader",
)


def check_boot(plan: ImportPlan, vm: Machine) -> Iterator[Finding]:
    """The plan's boot mode against the machine's firmware and system."""
    if plan.route is Route.SNAPSHOT:
        return
    system = system_of(vm)
    if any(row.uefi_only for row in system.rows) and plan.boot_mode is not BootMode.UEFI:
        yield Finding(W, f"{system.name} wants boot mode uefi", vm.name, fact="F100", remedy="Choose uefi")
    elif plan.boot_mode is BootMode.LEGACY_BIOS and vm.firmware is Firmware.UEFI:
        yield _mismatch(vm, "UEFI", "legacy-bios", "uefi")
    elif plan.boot_mode is BootMode.UEFI and vm.firmware is Firmware.BIOS:
        yield _mismatch(vm, "BIOS", "uefi", "legacy-bios")
    if plan.route is Route.IMAGE_DIRECT and vm.firmware is Firmware.UEFI and not plan.platform:
        yield Finding(
            Severity.BLOCKER,
            "a UEFI machine imported from a snapshot needs its platform named",
            vm.name,
            "AWS refuses the request without it",
            remedy="Choose Linux or Windows",
            fact="F102",
        )


def _mismatch(vm: Machine, has: str, asked: str, better: str) -> Finding:
    return Finding(
        W,
        f"the VM boots by {has}, the plan says {asked}",
        vm.name,
        why="It may not boot on EC2",
        remedy=f"Leave the boot mode out, or choose {better}",
        fact="F094",
    )
