"""What the wizard has been told so far: pure values, turned into one `ImportPlan` per candidate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vmie_tui.model import naming
from vmie_tui.model.choice import Option
from vmie_tui.model.machine import Firmware, Machine, OsFamily, Power
from vmie_tui.model.plan import (
    BootMode,
    FileSource,
    ImportPlan,
    LegacyInstance,
    LicenseType,
    ObjectSource,
    Route,
    SnapshotSource,
    Source,
    TestLaunch,
    UploadFormat,
    Via,
    VmSource,
    Volumes,
)
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.rules.licensing import default_licence
from vmie_tui.model.rules.routes import format_options, recommended, route_options, via_options
from vmie_tui.model.rules.systems import system_of
from vmie_tui.operations.licences import USAGE, families_of
from vmie_tui.operations.questions import questions

if TYPE_CHECKING:
    from vmie_tui.operations.profile import ProfileInfo

VM = naming.VM
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
INSTANCE_ID, SUBNET_ID = re.compile(r"i-[0-9a-f]{8,17}"), re.compile(r"subnet-[0-9a-f]{8,17}")
_PLATFORMS = {OsFamily.LINUX: "Linux", OsFamily.WINDOWS_SERVER: "Windows", OsFamily.WINDOWS_CLIENT: "Windows"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing to import: where it lies, and the machine the rules judge.

    ``preflight``: what the look into a file, object or snapshot has found; None for a VM in vCenter.
    """

    source: Source
    machine: Machine
    preflight: Preflight | None = None

    @property
    def key(self) -> str:
        """Differs between any two candidates; for a VM what its preflight is kept by."""
        return self.machine.key or self.source.where

    @property
    def in_vcenter(self) -> bool:
        return isinstance(self.source, VmSource)

    @property
    def running(self) -> bool:
        return self.in_vcenter and self.machine.power is Power.ON


def of_machines(machines: Sequence[Machine], vcenter: str) -> tuple[Candidate, ...]:
    """Machines of the inventory as candidates."""
    return tuple(Candidate(VmSource(vcenter, m.moid, m.name, m.instance_uuid), m) for m in machines)


def draft_of(profile: ProfileInfo, candidates: tuple[Candidate, ...]) -> Draft:
    """A draft with what the profile presets."""
    return Draft(
        candidates,
        profile.name,
        region=profile.region,
        bucket=profile.bucket,
        prefix=profile.prefix,
        role_name=profile.role_name,
        ami_name=profile.ami_name or VM,
        description=profile.description,
        tags=profile.tags,
    )


@dataclass(slots=True)
class Draft:
    """Answers of the wizard. Texts are as typed; the AMI name and the description are templates (`model.naming`)."""

    candidates: tuple[Candidate, ...]
    profile: str
    region: str = ""
    bucket: str = ""
    prefix: str = ""
    role_name: str = ""
    route: Route = Route.IMAGE
    upload_format: UploadFormat = UploadFormat.VMDK
    via: Via = Via.S3
    licence: str = ""  # LicenseType value, USAGE, or empty: not chosen
    usage_operation: str = ""
    ami_name: str = VM
    description: str = ""
    tags: str = ""
    boot_mode: str = ""
    platform: str = ""  # empty: by the machine's system
    architecture: str = "x86_64"
    ena: bool = True
    root_device: str = "/dev/sda1"
    encrypted: bool = False
    kms_key: str = ""
    quiesce: bool = True
    make_volumes: bool = False
    zone: str = ""
    volume_type: str = "gp3"
    attach_to: str = ""
    volume_only: bool = False
    instance_type: str = ""
    instance_zone: str = ""
    instance_subnet: str = ""
    copy_to: str = ""
    test_launch: bool = False
    launch_type: str = ""
    launch_subnet: str = ""
    launch_key: str = ""
    isolated: bool = True
    clean_up: bool = False
    families: frozenset[OsFamily] = field(default=frozenset())
    when: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.families = families_of(self.machines)
        defaults = {default_licence(family) for family in self.families}
        if len(defaults) == 1:
            only = next(iter(defaults))
            self.licence = only.value if only else ""
        if not self.description:
            self.description = f"{VM} from {_place(self.candidates[0].source)}" if self.candidates else VM
        if self.candidates and all(system_of(machine).arm for machine in self.machines):
            self.architecture = "arm64"
        self.choose_route(self.recommended_route())

    @property
    def machines(self) -> tuple[Machine, ...]:
        return tuple(candidate.machine for candidate in self.candidates)

    @property
    def running(self) -> bool:
        """Whether one of the machines is on, so that a snapshot is made first."""
        return any(candidate.running for candidate in self.candidates)

    @property
    def size(self) -> int:
        return sum(machine.size for machine in self.machines)

    def names(self) -> str:
        return ", ".join(candidate.source.name for candidate in self.candidates)

    @property
    def asked(self) -> frozenset[str]:
        """The questions that matter on the chosen route."""
        return questions((candidate.source for candidate in self.candidates), self.route, self.via)

    # -- route

    def route_options(self) -> tuple[Option, ...]:
        """All routes; one that some candidate cannot take says which and why."""
        best = self.recommended_route()
        merged = self._merge(lambda one: route_options(one.source, one.machine, self.region), "route")
        return tuple(
            Option(o.value, f"{o.label} (recommended)" if o.value == best.value else o.label, o.note, o.refused)
            for o in merged
        )

    def recommended_route(self) -> Route:
        """The first candidate's, when all can take it; else the first that all can."""
        if not self.candidates:
            return Route.IMAGE
        one = self.candidates[0]
        best = recommended(route_options(one.source, one.machine, self.region))
        if len(self.candidates) == 1:
            return best
        options = self._merge(lambda each: route_options(each.source, each.machine, self.region), "route")
        free = [Route(option.value) for option in options if not option.refused]
        return best if best in free or not free else free[0]

    def format_options(self) -> tuple[Option, ...]:
        return self._merge(lambda one: format_options(self.route, one.source, one.machine, self.via), "format")

    def via_options(self) -> tuple[Option, ...]:
        return self._merge(lambda one: via_options(self.route, one.source, one.machine), "via")

    def _merge(self, ask: Callable[[Candidate], Sequence[Any]], name: str) -> tuple[Option, ...]:
        """The options of all candidates as one list: refused when one of them is, for the first such reason."""
        merged: dict[str, Option] = {}
        for candidate in self.candidates:
            for option in ask(candidate):
                value, refused = getattr(option, name).value, option.refused
                if refused and len(self.candidates) > 1:
                    refused = f"{candidate.source.name}: {refused}"
                known = merged.get(value)
                if known is None or (refused and not known.refused):
                    doubt = getattr(option, "doubt", "")
                    merged[value] = Option(value, option.label, f"▲ {doubt}" if doubt else option.words, refused)
        return tuple(merged.values())

    def choose_route(self, route: Route) -> None:
        """Take a route; what its format and way cannot stay becomes the first that is possible."""
        self.route = route
        if route is Route.SNAPSHOT and any(isinstance(one.source, SnapshotSource) for one in self.candidates):
            self.make_volumes = True  # there is nothing else to make of an EBS snapshot
        self.via = Via(_possible(self.via_options(), self.via.value))
        self.upload_format = UploadFormat(_possible(self.format_options(), self.upload_format.value))

    # -- target

    def ami_name_for(self, candidate: Candidate) -> str:
        return naming.ami_name(self.ami_name, self._places(candidate))

    def _places(self, candidate: Candidate) -> dict[str, str]:
        return naming.places(candidate.source.name, self.when, profile=self.profile, region=self.region)

    def mistakes(self) -> dict[str, str]:
        """What is wrong with the fields that matter, by field; rules on the whole plan come with `plans`."""
        asked = self.asked
        found = {key: text for key, text in self._target_mistakes() if key in asked}
        if "volumes" in asked and self.make_volumes:
            found |= dict(self._volume_mistakes())
        if "legacy" in asked:
            found |= dict(self._legacy_mistakes())
        if "test_launch" in asked and self.test_launch:
            found |= dict(self._subnet_mistake("launch_subnet"))
        return found

    def _target_mistakes(self) -> Iterator[tuple[str, str]]:
        if not REGION.fullmatch(self.region):
            yield "region", "A Region reads like eu-west-1"
        if not self.bucket:
            yield "bucket", "Name a bucket in that Region"
        if not self.role_name:
            yield "role_name", "Name the service role, usually vmimport"
        names = Counter(self.ami_name_for(candidate) for candidate in self.candidates)
        if any(count > 1 for count in names.values()):
            yield "ami_name", f"{len(self.candidates)} AMIs cannot share a name: put {VM} into it"
        try:
            tag_table(self.tags)
        except ValueError as error:
            yield "tags", f"Tags read like key=value, key=value; not {str(error)!r}"
        if not self.root_device.startswith("/dev/"):
            yield "root_device", "A device reads like /dev/sda1"
        wrong = next((name for name in words_of(self.copy_to) if not REGION.fullmatch(name)), "")
        if wrong:
            yield "copy_to", f"{wrong!r} is no Region"
        elif self.region in words_of(self.copy_to):
            yield "copy_to", f"It is made in {self.region} anyway"

    def _volume_mistakes(self) -> Iterator[tuple[str, str]]:
        yield from self._zone_mistake("zone", needed=not self.attach_to)
        if self.attach_to and not INSTANCE_ID.fullmatch(self.attach_to):
            yield "attach_to", "An instance reads like i-0abc…"
        elif self.attach_to and len(self.candidates) > 1:
            yield "attach_to", "One instance cannot take them all"

    def _legacy_mistakes(self) -> Iterator[tuple[str, str]]:
        yield from self._zone_mistake("instance_zone", needed=self.volume_only)
        if not self.volume_only:
            if not self.instance_type:
                yield "instance_type", "Name one, such as m3.large"
            yield from self._subnet_mistake("instance_subnet")

    def _zone_mistake(self, name: str, *, needed: bool) -> Iterator[tuple[str, str]]:
        value = getattr(self, name)
        if (needed or value) and not re.fullmatch(re.escape(self.region) + "[a-z]", value):
            yield name, f"It reads like {self.region or 'eu-west-1'}a"

    def _subnet_mistake(self, name: str) -> Iterator[tuple[str, str]]:
        value = getattr(self, name)
        if value and not SUBNET_ID.fullmatch(value):
            yield name, "A subnet reads like subnet-0abc…"

    # -- the plans

    def plans(self) -> list[ImportPlan]:
        """One plan per candidate. Raises ValueError while the tags cannot be read."""
        return [self.plan_for(candidate) for candidate in self.candidates]

    def plan_for(self, candidate: Candidate) -> ImportPlan:
        source, asked = candidate.source, questions((candidate.source,), self.route, self.via)
        usage = self.licence == USAGE
        licensed = "licence" in asked
        bucket = self.bucket if "bucket" in asked else source.bucket if isinstance(source, ObjectSource) else ""
        return ImportPlan(
            profile=self.profile,
            source=source,
            region=self.region,
            bucket=bucket,
            route=self.route,
            upload_format=self.upload_format,
            via=self.via,
            license_type=LicenseType(self.licence) if licensed and self.licence and not usage else None,
            usage_operation=self.usage_operation or None if licensed and usage else None,
            prefix=self.prefix if "prefix" in asked else "",
            role_name=self.role_name or "vmimport",
            ami_name=self.ami_name_for(candidate) if "ami_name" in asked else "",
            description=naming.fill(self.description, self._places(candidate)),
            tags=tag_table(self.tags),
            boot_mode=self.boot_mode_of(candidate) if "boot_mode" in asked else None,
            platform=self.platform_of(candidate) if "platform" in asked else None,
            encrypted=self.encrypted and "encrypted" in asked,
            kms_key_id=self.kms_key or None if self.encrypted and "encrypted" in asked else None,
            quiesce=self.quiesce,
            architecture=self.architecture,
            ena=self.ena,
            root_device=self.root_device,
            volumes=self._volumes() if "volumes" in asked else None,
            legacy=self._legacy() if "legacy" in asked else None,
            copy_to=words_of(self.copy_to) if "copy_to" in asked else (),
            test_launch=self._launch() if "test_launch" in asked else None,
            clean_up=self.clean_up and "clean_up" in asked,
        )

    def platform_of(self, candidate: Candidate) -> str | None:
        """Windows or Linux, as chosen or by the machine's system; None when neither says."""
        return self.platform or _PLATFORMS.get(candidate.machine.os_family)

    def boot_mode_of(self, candidate: Candidate) -> BootMode | None:
        """As chosen; RegisterImage must be told, where the conversion finds it out: then by the firmware."""
        if self.boot_mode:
            return BootMode(self.boot_mode)
        if self.route is not Route.UNMODIFIED:
            return None
        return BootMode.UEFI if candidate.machine.firmware is Firmware.UEFI else BootMode.LEGACY_BIOS

    def _volumes(self) -> Volumes | None:
        return Volumes(self.zone, self.volume_type, self.attach_to) if self.make_volumes else None

    def _legacy(self) -> LegacyInstance:
        if self.volume_only:
            return LegacyInstance(availability_zone=self.instance_zone, volume_only=True)
        return LegacyInstance(self.instance_type, self.instance_zone, self.instance_subnet)

    def _launch(self) -> TestLaunch | None:
        if not self.test_launch:
            return None
        return TestLaunch(self.launch_type, self.launch_subnet, self.launch_key, self.isolated)


def _place(source: Source) -> str:
    """Where it came from, for AWS to keep: of a file its name, as the folders on this machine are nobody's business."""
    if isinstance(source, VmSource):
        return source.vcenter
    return (
        ", ".join(path.rsplit("/", 1)[-1] for path in source.paths) if isinstance(source, FileSource) else source.where
    )


def tag_table(text: str) -> dict[str, str]:
    """Tags of ``key=value, key=value``; ValueError names the part that is none."""
    table: dict[str, str] = {}
    for part in words_of(text, only_commas=True):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(part)
        table[key.strip()] = value.strip()
    return table


def words_of(text: str, *, only_commas: bool = False) -> tuple[str, ...]:
    """The pieces between commas, and between blanks unless ``only_commas``."""
    pieces = text.split(",") if only_commas else text.replace(",", " ").split()
    return tuple(piece.strip() for piece in pieces if piece.strip())


def _possible(options: Sequence[Option], value: str) -> str:
    """``value`` when it is among the options and not refused; else the first that may be chosen, else ``value``."""
    free = [option.value for option in options if not option.refused]
    return value if value in free or not free else free[0]
