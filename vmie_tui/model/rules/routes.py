"""The import routes of a source: each with what it is for, or with the documented reason why it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine, OsFamily
from vmie_tui.model.plan import ImportPlan, ObjectSource, Route, SnapshotSource, Source, UploadFormat, Via, VmSource
from vmie_tui.model.rules.disks import BY_IMAGE, EITHER_WAY, check_disk_size
from vmie_tui.model.rules.formats import check_format
from vmie_tui.model.rules.override import impossible
from vmie_tui.model.rules.route_needs import check_needs
from vmie_tui.model.rules.supported_systems import check_system
from vmie_tui.model.rules.systems import system_of

_PREFERRED = (Route.IMAGE, Route.IMAGE_DIRECT, Route.UNMODIFIED, Route.SNAPSHOT, Route.INSTANCE)
_BY_QEMU = frozenset({"qcow2", "vdi"})


@dataclass(frozen=True, slots=True)
class RouteOption:
    """A route that may be chosen."""

    route: Route
    label: str
    words: str  # why one would
    refused: str = ""  # why not; "" when it is possible
    fact: str = ""  # source of that reason
    doubt: str = ""  # possible, but AWS will not accept, or not boot, this guest: the findings say why


@dataclass(frozen=True, slots=True)
class FormatOption:
    """A format of the object that is uploaded."""

    format: UploadFormat
    label: str
    words: str
    refused: str = ""  # as in `RouteOption`
    fact: str = ""


@dataclass(frozen=True, slots=True)
class ViaOption:
    """A way for the bytes to become EBS snapshots."""

    via: Via
    label: str
    words: str
    refused: str = ""  # as in `RouteOption`
    fact: str = ""


_ROUTES = {
    Route.IMAGE: ("Image", "AWS checks the guest and adds its drivers; the way AWS recommends"),
    Route.IMAGE_DIRECT: (
        "Image, direct",
        "the same without a bucket: blocks go straight to EBS, and resume one by one",
    ),
    Route.UNMODIFIED: ("Unmodified", "an AMI of the disks as they are, for guests AWS cannot convert"),
    Route.SNAPSHOT: ("Snapshot", "EBS snapshots, or volumes, of the disks: for data disks"),
    Route.INSTANCE: ("Instance (legacy)", "the old call: a stopped instance of one disk, in the older Regions only"),
}
_FORMATS = {
    UploadFormat.VMDK: ("VMDK stream", "compressed, as vCenter exports it: the least to send"),
    UploadFormat.OVA: ("OVA", "one object with all disks and the hardware's description"),
    UploadFormat.VHD: ("VHD", "fixed size: as large as the disk"),
    UploadFormat.RAW: ("RAW", "byte for byte: as large as the disk"),
}
_VIAS = {
    Via.S3: ("S3", "an object in the bucket, which AWS reads"),
    Via.EBS: ("EBS direct", "blocks without zeros; no bucket, no service role, resumes block by block"),
}


def needs_bucket(plan: ImportPlan) -> bool:
    """Whether something of the plan is written to a bucket; objects that lie in S3 already are read where they are."""
    return plan.moves_bytes and not plan.direct


def bucket_of(plan: ImportPlan) -> str:
    """The bucket that the import writes to, or that AWS reads its objects from; "" when none takes part."""
    if isinstance(plan.source, ObjectSource) and not plan.moves_bytes:
        return plan.source.bucket
    return plan.bucket if needs_bucket(plan) else ""


def needs_role(plan: ImportPlan) -> bool:
    """Whether an import task acts through the service role; the instance route reads by presigned URLs instead."""
    return plan.aws_reads and plan.route is not Route.INSTANCE


# -- what can be chosen


def route_options(source: Source, machine: Machine, region: str = "") -> tuple[RouteOption, ...]:
    """All five routes, the preferred one first; ``machine`` as vCenter or `services.image_sources` tells it."""
    return tuple(_route_option(route, source, machine, region) for route in _PREFERRED)


def first_acceptable(options: Sequence[RouteOption]) -> Route:
    """What to take when the user has no opinion: the first without reservations, else the first possible."""
    ranked = sorted(options, key=lambda option: (bool(option.refused), bool(option.doubt)))  # stable
    return ranked[0].route if ranked else Route.IMAGE


def format_options(route: Route, source: Source, machine: Machine, via: Via = Via.S3) -> tuple[FormatOption, ...]:
    """The formats an upload on this route may have; empty where nothing is uploaded to S3."""
    if not needs_bucket(_trial(source, route, via)):
        return ()
    return tuple(_format_option(kind, route, machine) for kind in UploadFormat)


def via_options(route: Route, source: Source, machine: Machine) -> tuple[ViaOption, ...]:
    """How the bytes may become EBS snapshots; empty where the route leaves no choice."""
    if route not in EITHER_WAY or isinstance(source, SnapshotSource):
        return ()
    options = []
    for via, (label, words) in _VIAS.items():
        first = next(_all_against(source, machine, route, via, ""), None)
        options.append(ViaOption(via, label, words, _words(first), first.fact if first else ""))
    return tuple(options)


def _trial(source: Source, route: Route, via: Via) -> ImportPlan:
    return ImportPlan("", source, "", "", route, via=via)


def _route_option(route: Route, source: Source, machine: Machine, region: str) -> RouteOption:
    label, words = _ROUTES[route]
    option = RouteOption(route, label, words)
    first = refusal(source, machine, route, region)
    if first is not None:
        return replace(option, refused=_words(first), fact=first.fact)
    return replace(option, doubt=_doubt(source, machine, route))


def refusal(source: Source, machine: Machine, route: Route, region: str = "") -> Finding | None:
    """Why the route is impossible for the source, whatever else is chosen; None when it is possible."""
    stuck = impossible(machine) if isinstance(source, VmSource) else None
    if stuck is not None:
        return stuck
    ways = tuple(Via) if route in EITHER_WAY else (Via.S3,)
    against = [next(_all_against(source, machine, route, via, region), None) for via in ways]
    return against[0] if None not in against else None


def _format_option(kind: UploadFormat, route: Route, machine: Machine) -> FormatOption:
    label, words = _FORMATS[kind]
    first = next(check_format(route, kind.value, subject=machine.name), None)
    return FormatOption(kind, label, words, _words(first), first.fact if first else "")


def _words(finding: Finding | None) -> str:
    if finding is None:
        return ""
    return ". ".join(part for part in (finding.what, finding.remedy) if part)


def _all_against(source: Source, machine: Machine, route: Route, via: Via, region: str) -> Iterator[Finding]:
    yield from _too_large(machine, route, via)
    yield from _against(source, machine, route, via, region)


def _too_large(machine: Machine, route: Route, via: Via) -> Iterator[Finding]:
    """Sizes and counts that `check_machine` also checks."""
    most = facts.limit("import", "max_volumes_per_vm")["value"]
    if route in BY_IMAGE and len(machine.disks) > most:
        yield _no(
            f"it has {len(machine.disks)} disks, VM import takes {most}", machine, "Import them as snapshots", "F114"
        )
    for disk in machine.disks:
        for finding in check_disk_size(disk.capacity, disk.label, route, via):
            if finding.severity is Severity.BLOCKER:
                yield replace(finding, what=f"{disk.label} {finding.what}")


def _doubt(source: Source, machine: Machine, route: Route) -> str:
    """Why the guest may not boot after an otherwise possible route."""
    if route is Route.SNAPSHOT:
        return ""
    unread = any(disk.image in _BY_QEMU for disk in machine.disks)
    if not isinstance(source, VmSource) and not unread and not machine.guest_id and not machine.os_name:
        return "no operating system was seen on it"
    if route is Route.UNMODIFIED:
        return ""
    found = check_system(system_of(machine), machine.os_name)
    return next((f"AWS cannot convert it: {f.what}" for f in found if f.severity is Severity.BLOCKER), "")


# -- what speaks against a combination


def check_route(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    """Blockers when AWS has no such way for this source, and what a route needs to be told.

    What the guest or its sizes have against a route is `check_machine`'s to say.
    """
    found = tuple(_against(plan.source, machine, plan.route, plan.via, plan.region))
    yield from found
    if not found:
        if needs_bucket(plan):
            yield from check_format(plan.route, plan.upload_format.value, subject=machine.name)
        yield from check_needs(plan, machine)


def _no(what: str, machine: Machine, remedy: str, fact: str, prevents: str = "") -> Finding:
    return Finding(Severity.BLOCKER, what, machine.name, "", prevents, remedy, fact)


def _against(source: Source, machine: Machine, route: Route, via: Via, region: str = "") -> Iterator[Finding]:
    """Why there is no such way, the weightiest reason first."""
    if isinstance(source, SnapshotSource):
        yield from _snapshot(machine, route)
    if isinstance(source, ObjectSource):
        yield from _object(source, machine, route, via)
    if route is Route.INSTANCE:
        yield from _instance(machine, region)
    if route in EITHER_WAY and via is Via.S3 and not isinstance(source, SnapshotSource):
        yield from _needs_manifest(machine)


def _snapshot(machine: Machine, route: Route) -> Iterator[Finding]:
    if route is Route.IMAGE:
        yield _no(
            "its disks are EBS snapshots, and this route imports from S3",
            machine,
            "Take the route image-direct: it imports from EBS snapshots",
            "F102",
        )
    elif route is Route.INSTANCE:
        yield _no(
            "ImportInstance reads parts in S3 by a manifest, not EBS snapshots",
            machine,
            "Take the route image-direct, or unmodified",
            "X13",
        )


def _object(source: ObjectSource, machine: Machine, route: Route, via: Via) -> Iterator[Finding]:
    """What AWS, or this machine, cannot make of objects that lie in S3."""
    kinds = dict.fromkeys(disk.image for disk in machine.disks)
    unread = next((kind for kind in kinds if kind.partition(" ")[0] in _BY_QEMU), None)
    if unread:
        yield _no(
            f"VM import does not take {unread.upper()} images",
            machine,
            "Download it and import the file, which qemu-img turns into one that is taken",
            "F024",
            str(facts.error("E01")["message"]),
        )
        return
    if route is not Route.IMAGE and (route not in EITHER_WAY or via is Via.EBS):
        return  # this machine reads it by ranges, whatever it is
    given = source.format or image_format(next(iter(kinds), ""))
    refused = list(check_format(route, given, subject=machine.name)) if given else []
    for kind in kinds if not refused else ():
        refused += check_format(route, image_format(kind) or given, kind=image_kind(kind), subject=machine.name)
    if refused:
        remedy = "Take the route image-direct" if route is Route.IMAGE else "Send it by EBS direct (--via ebs)"
        other = ", or take the route image" if given == "OVA" and route is not Route.IMAGE else ""
        yield replace(refused[0], remedy=f"{remedy}: this machine reads the disk and sends its blocks{other}")


def _instance(machine: Machine, region: str) -> Iterator[Finding]:
    if region and region not in instance_regions():
        yield _no(f"instance import does not exist in {region}", machine, "Import it as an image; it is there", "F266")
    if len(machine.disks) > 1:
        yield _no(
            f"instance import takes one disk, it has {len(machine.disks)}",
            machine,
            "Import it as an image; or detach the others and import them as snapshots",
            "F025",
        )
    if machine.os_family is OsFamily.WINDOWS_CLIENT:
        yield _no(
            "a Windows client brings its own licence, which instance import does not take",
            machine,
            "Import it as an image",
            "F260",
        )


def _needs_manifest(machine: Machine) -> Iterator[Finding]:
    above = facts.limit("import", "manifest_required_above")["value_tib"]
    top = facts.limit("import", "disk_image_size_max")["value_tib"]  # above it `check_disk_size` refuses every file
    for disk in machine.disks:
        if above * facts.TIB < disk.capacity < top * facts.TIB:
            yield Finding(
                Severity.BLOCKER,
                f"is larger than {above} TiB; as a file in S3 it would need a manifest",
                disk.label,
                "ImportSnapshot has no parameter for one",
                remedy="Send it by EBS direct (--via ebs), which takes blocks and no file, or take the instance "
                "route, which comes with a manifest, in its Regions",
                fact="F118",
            )


def instance_regions() -> frozenset[str]:
    """Where ImportInstance and ImportVolume exist; there will be no others."""
    listed = facts.load("constraints")["instance_import"]["regions"]
    return frozenset(region for some in listed.values() for region in some)


# -- kinds of image


def image_format(image: str) -> str:
    """What ImportImage calls the kind of image in `Disk.image`: VMDK for ``vmdk-sparse monolithicSparse``."""
    return image.partition(" ")[0].partition("-")[0].upper()


def image_kind(image: str) -> str:
    """The subtype, as `check_format` wants it: a VMDK's createType; fixed, dynamic, differencing."""
    kind = image.partition(" ")[2]
    return "streamOptimized" if image.startswith("vmdk-stream") else kind
