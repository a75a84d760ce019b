"""What a plan takes when nothing was said: the way that fits the source, and what the guest itself answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vmie_tui.model.machine import Firmware, Machine, OsFamily
from vmie_tui.model.plan import BootMode, ImportPlan, LegacyInstance, Route, Source, UploadFormat, Via
from vmie_tui.model.rules.disks import BY_IMAGE
from vmie_tui.model.rules.licensing import default_licence
from vmie_tui.model.rules.routes import (
    first_acceptable,
    format_options,
    needs_bucket,
    refusal,
    route_options,
    via_options,
)
from vmie_tui.model.rules.systems import system_of

_PLATFORMS = {OsFamily.LINUX: "Linux", OsFamily.WINDOWS_SERVER: "Windows", OsFamily.WINDOWS_CLIENT: "Windows"}


def default_route(source: Source, machine: Machine, region: str = "", *, bucket: bool = True) -> Route:
    """The route that is taken while the user has chosen none; docs/routes.md has the rules, and why.

    Without a ``bucket`` to upload to, the one by EBS direct. Never unmodified: an AMI that nobody has prepared for EC2
    is for the user to ask for. Where no route would do, the one whose reason the user needs to read.
    """
    options = {option.route: option for option in route_options(source, machine, region)}
    best, direct = first_acceptable(tuple(options.values())), Route.IMAGE_DIRECT
    if best is Route.UNMODIFIED:
        best = direct if options[Route.IMAGE].refused and not options[direct].refused else Route.IMAGE
    if best is Route.IMAGE and not bucket and needs_bucket(ImportPlan("", source, region, "", best)):
        return best if options[direct].refused else direct
    return best


def common_route(wanted: Sequence[tuple[Source, Machine]], region: str = "", *, bucket: bool = True) -> Route:
    """The default for several imports that take the same route: the first one's that all of them can take."""
    own = [default_route(source, machine, region, bucket=bucket) for source, machine in wanted]
    possible = (
        route
        for route in dict.fromkeys(own)
        if all(refusal(source, machine, route, region) is None for source, machine in wanted)
    )
    return next(possible, own[0] if own else Route.IMAGE)


def default_via(route: Route, source: Source, machine: Machine, *, bucket: bool = True) -> Via:
    """By S3 where there is a ``bucket`` and nothing speaks against it, else by EBS direct."""
    possible = [option.via for option in via_options(route, source, machine) if not option.refused]
    if not bucket and Via.EBS in possible and needs_bucket(ImportPlan("", source, "", "", route)):
        return Via.EBS
    return possible[0] if possible else Via.S3


def default_format(route: Route, source: Source, machine: Machine, via: Via = Via.S3) -> UploadFormat:
    """The first that is possible."""
    possible = [option.format for option in format_options(route, source, machine, via) if not option.refused]
    return possible[0] if possible else UploadFormat.VMDK


def with_defaults(plan: ImportPlan, machine: Machine) -> ImportPlan:
    """The plan with what its route wants to know and the machine answers: licence, platform, boot mode, processor."""
    if plan.route in BY_IMAGE and not plan.license_type and not plan.usage_operation:
        plan = replace(plan, license_type=default_licence(machine.os_family))
    if plan.route in {Route.IMAGE_DIRECT, Route.INSTANCE} and not plan.platform:
        plan = replace(plan, platform=_PLATFORMS.get(machine.os_family))
    if plan.route is Route.INSTANCE and plan.legacy is None:
        plan = replace(plan, legacy=LegacyInstance())
    if plan.route is Route.UNMODIFIED and plan.boot_mode is None:
        uefi = machine.firmware is Firmware.UEFI or plan.architecture == "arm64"
        plan = replace(plan, boot_mode=BootMode.UEFI if uefi else BootMode.LEGACY_BIOS)
    return plan


def default_architecture(machine: Machine) -> str:
    """RegisterImage's word for the guest's processor."""
    system = system_of(machine)
    if system.arm:
        return "arm64"
    return "i386" if system.bits == 32 else "x86_64"
