"""Which answers each way into AWS needs: the wizard asks for those and for no others."""

from __future__ import annotations

from collections.abc import Iterable

from vmie_tui.model.plan import FileSource, ImportPlan, ObjectSource, Route, SnapshotSource, Source, Via, VmSource
from vmie_tui.model.rules.route_needs import MAKES_AMI
from vmie_tui.model.rules.routes import EITHER_WAY, needs_bucket, needs_role


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
