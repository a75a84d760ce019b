"""The plan of an import: made of the command line's options, or of the wizard's answers, by one builder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from vmie_tui.model import naming
from vmie_tui.model.form_option import Option
from vmie_tui.model.machine import Machine, OsFamily, Power
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
from vmie_tui.model.rules.default_route import (
    common_route,
    default_architecture,
    default_format,
    default_route,
    default_via,
    with_defaults,
)
from vmie_tui.model.rules.disks import EITHER_WAY
from vmie_tui.model.rules.licensing import default_licence
from vmie_tui.model.rules.route_needs import MAKES_AMI
from vmie_tui.model.rules.routes import (
    format_options,
    needs_bucket,
    needs_role,
    route_options,
    via_options,
)
from vmie_tui.operations.licences import USAGE, families_of
from vmie_tui.operations.profile import ProfileInfo
from vmie_tui.settings import Profile

V = TypeVar("V")
VM = naming.VM
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
INSTANCE_ID, SUBNET_ID = re.compile(r"i-[0-9a-f]{8,17}"), re.compile(r"subnet-[0-9a-f]{8,17}")
DOUBT = "▲ "  # before the note of a route that is possible, but would not do


# -- the one builder


def build_plan(
    source: Source,
    machine: Machine,
    *,
    region: str,
    bucket: str,
    prefix: str = "",
    profile: str = "",
    route: Route | None = None,
    via: Via | None = None,
    upload_format: UploadFormat | None = None,
    ami_name: str = "",
    description: str = "",
    architecture: str = "",
    when: datetime | None = None,
    **chosen: Any,
) -> ImportPlan:
    """What was chosen, else what fits the source and its guest.

    ``ami_name`` and ``description`` are templates (`model.naming`); ``chosen`` are other fields of the plan. Of a
    bucket and a prefix the plan has only those it uses.
    """
    way = route or default_route(source, machine, region, bucket=bool(bucket))
    by = via or default_via(way, source, machine, bucket=bool(bucket))
    places = naming.places(source.name, when or datetime.now(UTC), profile=profile, region=region)
    plan = ImportPlan(
        profile=profile,
        source=source,
        region=region,
        bucket=bucket,
        prefix=prefix,
        route=way,
        via=by,
        upload_format=upload_format or default_format(way, source, machine, by),
        # Without a name of its own the AMI has the source's, which is made to fit when it is registered.
        ami_name=naming.ami_name(ami_name, places) if ami_name != VM else "",
        description=naming.fill(description or default_description(source), places),
        architecture=architecture or default_architecture(machine),
        **chosen,
    )
    if not needs_bucket(plan):
        plan = replace(plan, bucket=source.bucket if isinstance(source, ObjectSource) else "", prefix="")
    return with_defaults(plan, machine)


def default_description(source: Source) -> str:
    """A template. Of a file AWS is told the name alone: the folders on this machine are nobody's business."""
    if isinstance(source, VmSource):
        place = source.vcenter
    elif isinstance(source, FileSource):
        place = ", ".join(path.rsplit("/", 1)[-1] for path in source.paths)
    else:
        place = source.where
    return f"{VM} from {place}" if place else VM


def default_route_words(plan: ImportPlan, machine: Machine) -> str:
    """Why the plan's route was taken for the user and not the usual one; "" for the usual one."""
    if plan.route is Route.IMAGE:
        return ""
    options = {option.route: option for option in route_options(plan.source, machine, plan.region)}
    return options[Route.IMAGE].refused or options[Route.IMAGE].doubt or options[plan.route].words


# -- of the command line's options


class OptionError(ValueError):
    """An option that only means something beside another."""


def make_plan(
    profile: Profile,
    machine: Machine,
    source: Source | None = None,
    *,
    route: str | None = Route.IMAGE.value,
    via: str | None = None,
    upload_format: str | None = None,
    license_type: str | None = None,
    region: str | None = None,
    bucket: str | None = None,
    prefix: str | None = None,
    role_name: str | None = None,
    boot_mode: str | None = None,
    architecture: str | None = None,
    no_quiesce: bool = False,
    no_ena: bool = False,
    copy_to: tuple[str, ...] = (),
    ami_name: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
    **rest: Any,
) -> ImportPlan:
    """The plan for one machine: what was chosen, else the profile's, else what fits the source and its guest.

    ``route`` None: the default one. Without ``source`` it is the machine in the profile's vCenter. Raises OptionError.
    """
    aws, vcenter = profile.aws, profile.vcenter
    grouped = _grouped(rest)
    plan = build_plan(
        source or VmSource(vcenter.host if vcenter else "", machine.moid, machine.name, machine.instance_uuid),
        machine,
        profile=profile.name,
        region=region or aws.region,
        bucket=aws.bucket if bucket is None else bucket,
        prefix=aws.prefix if prefix is None else prefix,
        route=Route(route) if route else _implied(rest, grouped),
        via=Via(via) if via else None,
        upload_format=UploadFormat(upload_format) if upload_format else None,
        license_type=LicenseType(license_type) if license_type else None,
        role_name=role_name or aws.role_name,
        boot_mode=BootMode(boot_mode) if boot_mode else None,
        quiesce=not no_quiesce,
        architecture=architecture or "",
        ena=not no_ena,
        copy_to=tuple(copy_to),
        ami_name=ami_name or aws.ami_name,
        description=description or aws.description,
        tags={**dict(aws.tags), **(tags or {})},
        **{name: value for name, value in rest.items() if name not in _GROUPS},
    )
    _check_belongs(plan.route, rest, grouped)
    return _with_legacy(replace(plan, volumes=grouped.volumes, test_launch=grouped.launch), rest)


_GROUPS = {
    *("volume_zone", "volume_type", "attach", "volumes"),
    *("instance_type", "zone", "subnet", "volume_only"),
    *("test_launch", "key", "reachable"),
}


@dataclass(frozen=True, slots=True)
class _Grouped:
    """What several options make together; None where it was not asked for."""

    volumes: Volumes | None
    launch: TestLaunch | None


def _grouped(given: Mapping[str, Any]) -> _Grouped:
    """Of options, or of the values themselves."""
    volumes, launch = given.get("volumes"), given.get("test_launch")
    zone, instance = given.get("volume_zone") or "", given.get("attach") or ""
    if zone or instance:
        volumes = Volumes(zone, given.get("volume_type") or "gp3", instance)
    if launch is True:
        kind, subnet, key = (given.get(name) or "" for name in ("instance_type", "subnet", "key"))
        launch = TestLaunch(kind, subnet, key, not given.get("reachable"))
    return _Grouped(volumes, launch or None)


def _implied(given: Mapping[str, Any], grouped: _Grouped) -> Route | None:
    """The only route that some option has a meaning on."""
    if grouped.volumes:
        return Route.SNAPSHOT
    return Route.INSTANCE if given.get("volume_only") or given.get("zone") else None


def _with_legacy(plan: ImportPlan, given: Mapping[str, Any]) -> ImportPlan:
    if plan.route is not Route.INSTANCE:
        return plan
    kind, zone, subnet = (given.get(name) or "" for name in ("instance_type", "zone", "subnet"))
    return replace(plan, legacy=LegacyInstance(kind, zone, subnet, bool(given.get("volume_only"))))


def _check_belongs(route: Route, given: Mapping[str, Any], grouped: _Grouped) -> None:
    """Refuse options that would be lost without a word."""
    launch, instance = grouped.launch is not None, route is Route.INSTANCE
    needs = {
        "volume_type": (bool(grouped.volumes), "--volume-zone or --attach"),
        "key": (launch, "--test-launch"),
        "reachable": (launch, "--test-launch"),
        "instance_type": (launch or instance, "--route instance or --test-launch"),
        "subnet": (launch or instance, "--route instance or --test-launch"),
        "zone": (instance, "--route instance"),
        "volume_only": (instance, "--route instance"),
    }
    for name, (met, wanted) in needs.items():
        if given.get(name) and not met:
            raise OptionError(f"--{name.replace('_', '-')} belongs to {wanted}")


# -- of the wizard's answers


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
    format_chosen: bool = False  # by the user, so that another route keeps it where it can
    via: Via = Via.S3
    via_chosen: bool = False
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
            self.description = default_description(self.candidates[0].source) if self.candidates else VM
        self.architecture = _common(map(default_architecture, self.machines)) or self.architecture
        self.choose_route(self.default_route())

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
        best = self.default_route().value
        merged = self._merge(lambda one: route_options(one.source, one.machine, self.region), "route")
        return tuple(
            replace(option, label=f"{option.label} (recommended)")
            if option.value == best and not option.refused and not option.note.startswith(DOUBT)
            else option
            for option in merged
        )

    def default_route(self) -> Route:
        wanted = [(one.source, one.machine) for one in self.candidates]
        return common_route(wanted, self.region, bucket=bool(self.bucket))

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
                    merged[value] = Option(value, option.label, f"{DOUBT}{doubt}" if doubt else option.words, refused)
        return tuple(merged.values())

    def choose_route(self, route: Route) -> None:
        """Take a route, with its own default way and format, unless the user has chosen some that are possible."""
        self.route = route
        if route is Route.SNAPSHOT and any(isinstance(one.source, SnapshotSource) for one in self.candidates):
            self.make_volumes = True  # there is nothing else to make of an EBS snapshot
        vias = (default_via(route, one.source, one.machine, bucket=bool(self.bucket)) for one in self.candidates)
        via = self.via if self.via_chosen else _common(vias) or self.via
        self.via = Via(_possible(self.via_options(), via.value))
        self._fit_format()

    def choose_via(self, via: Via) -> None:
        self.via, self.via_chosen = via, True
        self._fit_format()

    def choose_format(self, upload_format: UploadFormat) -> None:
        self.upload_format, self.format_chosen = upload_format, True

    def _fit_format(self) -> None:
        usual = _common(default_format(self.route, one.source, one.machine, self.via) for one in self.candidates)
        wanted = self.upload_format if self.format_chosen else usual or self.upload_format
        self.upload_format = UploadFormat(_possible(self.format_options(), wanted.value))

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
        """With the answers to what was asked: a field that the route has no use for may still hold an earlier one."""
        asked = questions((candidate.source,), self.route, self.via)
        usage, encrypted = self.licence == USAGE, self.encrypted and "encrypted" in asked
        licensed, makes_ami = "licence" in asked, "ami_name" in asked
        return build_plan(
            candidate.source,
            candidate.machine,
            profile=self.profile,
            region=self.region,
            bucket=self.bucket,
            prefix=self.prefix,
            route=self.route,
            via=self.via,
            upload_format=self.upload_format,
            license_type=LicenseType(self.licence) if licensed and self.licence and not usage else None,
            usage_operation=self.usage_operation or None if licensed and usage else None,
            role_name=self.role_name or "vmimport",
            ami_name=self.ami_name if makes_ami else "",
            description=self.description,
            tags=tag_table(self.tags),
            boot_mode=BootMode(self.boot_mode) if self.boot_mode and "boot_mode" in asked else None,
            platform=self.platform or None if "platform" in asked else None,
            encrypted=encrypted,
            kms_key_id=self.kms_key or None if encrypted else None,
            quiesce=self.quiesce,
            architecture=self.architecture if "architecture" in asked else "",
            ena=self.ena,
            root_device=self.root_device,
            volumes=self._volumes() if "volumes" in asked else None,
            legacy=self._legacy() if "legacy" in asked else None,
            copy_to=words_of(self.copy_to) if "copy_to" in asked else (),
            test_launch=self._launch() if "test_launch" in asked else None,
            clean_up=self.clean_up and "clean_up" in asked,
            when=self.when,
        )

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


def _common(values: Iterable[V]) -> V | None:
    """The one value that all of them are; None when they differ, or there are none."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _possible(options: Sequence[Option], value: str) -> str:
    """``value`` when it is among the options and not refused; else the first that may be chosen, else ``value``."""
    free = [option.value for option in options if not option.refused]
    return value if value in free or not free else free[0]


# -- which answers a route needs, and what it does


def questions(sources: Iterable[Source], route: Route, via: Via) -> frozenset[str]:
    """Names of the fields of `Draft` that matter for these sources on this route."""
    asked: set[str] = {"region"}
    for source in sources:
        asked |= _of(source, route, via)
    return frozenset(asked)


def _of(source: Source, route: Route, via: Via) -> set[str]:
    trial, in_ebs = ImportPlan("", source, "", "", route, via=via), isinstance(source, SnapshotSource)
    asked = {"description", "tags"}
    if needs_bucket(trial):
        asked |= {"bucket", "prefix", "format", "clean_up"}
    if route in EITHER_WAY and not in_ebs:
        asked.add("via")
    if needs_role(trial):
        asked.add("role_name")
    if route in MAKES_AMI:
        asked |= {"ami_name", "boot_mode", "copy_to", "test_launch"}
    if route in {Route.IMAGE, Route.IMAGE_DIRECT}:
        asked.add("licence")
    if route in {Route.IMAGE_DIRECT, Route.INSTANCE}:
        asked.add("platform")
    if route is not Route.INSTANCE and not (in_ebs and route in EITHER_WAY):
        asked.add("encrypted")
    if route is Route.UNMODIFIED:
        asked |= {"architecture", "ena", "root_device"}
    if route is Route.SNAPSHOT:
        asked.add("volumes")
    if route is Route.INSTANCE:
        asked.add("legacy")
    if isinstance(source, VmSource):
        asked.add("quiesce")
    return asked


def source_words(source: Source) -> str:
    """Where the bytes of a source lie, for the line that says what happens."""
    if isinstance(source, FileSource):
        return "the files on this machine are read"
    if isinstance(source, ObjectSource):
        return "the objects in S3 are read"
    if isinstance(source, SnapshotSource):
        return "the EBS snapshots are taken as they are"
    return "vCenter exports the disks"


_THEN = {
    Route.IMAGE: "and AWS converts them: it checks the guest, adds its drivers and makes an AMI.",
    Route.IMAGE_DIRECT: "and ImportImage converts the snapshots: drivers are added, an AMI is made.",
    Route.UNMODIFIED: "and RegisterImage makes an AMI of them as they are.",
    Route.SNAPSHOT: "and those stay, for volumes of data disks.",
    Route.INSTANCE: "and ImportInstance makes a stopped instance of them: the old way, only in its old Regions.",
}


def route_words(source: Source, route: Route, via: Via) -> str:
    """What happens on this route, in one or two sentences."""
    first = source_words(source)
    asked = _of(source, route, via)
    if isinstance(source, SnapshotSource):
        middle = ""
    elif "bucket" in asked:
        parts = "in parts with a manifest " if route is Route.INSTANCE else ""
        middle = f", they flow through this machine {parts}to S3"
    elif route is Route.IMAGE_DIRECT or (via is Via.EBS and route in EITHER_WAY):
        middle = ", their blocks flow through this machine into EBS snapshots"
    else:
        middle = " where they are"
    if route in EITHER_WAY and "role_name" in asked:
        middle += ", ImportSnapshot makes EBS snapshots of them"
    words = f"{first}{middle}, {_THEN[route]}"
    return words if words[1:2].isupper() else words[:1].upper() + words[1:]
