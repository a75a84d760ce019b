"""Every source on every route: each cell is possible, or refused for a documented reason with its fact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vmie_tui.model import facts
from vmie_tui.model.finding import Severity
from vmie_tui.model.machine import Disk, Firmware, Machine, OsFamily, Power
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
from vmie_tui.model.rules.default_route import (
    default_architecture,
    default_format,
    default_route,
    default_via,
    with_defaults,
)
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.rules.routes import (
    check_route,
    first_acceptable,
    format_options,
    needs_bucket,
    needs_role,
    route_options,
    via_options,
)

REGION = "eu-west-1"
VM = VmSource("vc", "vm-1", "web")
FILE = FileSource("web", ("/images/web",))
OBJECT = ObjectSource("web", "images", ("web",))
SNAPSHOT = SnapshotSource("web", ("snap-0123456789abcdef0",))
DEBIAN = Machine(
    "vm-1",
    "web",
    guest_id="debian12_64Guest",
    guest_name="Debian GNU/Linux 12 (64-bit)",
    disks=(Disk(1, "disk", 8 << 30),),
)
TYPES = LegacyInstance("m3.medium")
R = Route
WAYS: dict[str, tuple[Route, Via]] = {
    "image": (R.IMAGE, Via.S3),
    "direct": (R.IMAGE_DIRECT, Via.S3),
    "unmodified": (R.UNMODIFIED, Via.S3),
    "unmodified ebs": (R.UNMODIFIED, Via.EBS),
    "snapshot": (R.SNAPSHOT, Via.S3),
    "snapshot ebs": (R.SNAPSHOT, Via.EBS),
    "instance": (R.INSTANCE, Via.S3),
}
ALL = dict.fromkeys(WAYS, "")
NO_QEMU = dict.fromkeys(WAYS, "F024")


def held(image: str, *, count: int = 1) -> Machine:
    """A Debian whose disks are held by images of this kind."""
    return replace(DEBIAN, disks=tuple(Disk(number, f"disk {number}", 8 << 30, image=image) for number in range(count)))


def lying(kind: str) -> Source:
    return replace(OBJECT, format=kind)


# What stands against each way, by fact; ways that are not named are possible.
MATRIX: dict[str, tuple[Source, Machine, dict[str, str]]] = {
    "VM off": (VM, DEBIAN, {}),
    "VM on": (VM, replace(DEBIAN, power=Power.ON), {}),
    "OVA": (FILE, held("vmdk-stream streamOptimized"), {}),
    "OVA, two disks": (FILE, held("vmdk-stream streamOptimized", count=2), {"instance": "F025"}),
    "RAW": (FILE, held("raw"), {}),
    "VMDK sparse": (FILE, held("vmdk-sparse monolithicSparse"), {}),
    "VMDK flat": (FILE, held("vmdk-descriptor twoGbMaxExtentFlat"), {}),
    "VHD": (FILE, held("vhd dynamic"), {}),
    "VHDX": (FILE, held("vhdx dynamic"), {}),
    "QCOW2": (FILE, held("qcow2"), {}),
    "VDI": (FILE, held("vdi"), {}),
    "S3 VMDK stream": (lying("VMDK"), held("vmdk-stream streamOptimized"), {}),
    "S3 VMDK sparse": (
        lying("VMDK"),
        held("vmdk-sparse monolithicSparse"),
        {"image": "F030", "unmodified": "F030", "snapshot": "F030"},
    ),
    "S3 OVA": (lying("OVA"), held("vmdk-stream streamOptimized"), {"unmodified": "F024", "snapshot": "F243"}),
    "S3 OVA, two disks": (
        lying("OVA"),
        held("vmdk-stream streamOptimized", count=2),
        {"unmodified": "F024", "snapshot": "F243", "instance": "F025"},
    ),
    "S3 VHD": (lying("VHD"), held("vhd fixed"), {}),
    "S3 VHDX": (lying("VHDX"), held("vhdx dynamic"), {}),
    "S3 RAW": (lying("RAW"), held("raw"), {}),
    "S3 QCOW2": (lying("QCOW2"), held("qcow2"), NO_QEMU),
    "S3 VDI": (lying("VDI"), held("vdi"), NO_QEMU),
    "EBS snapshot": (
        SNAPSHOT,
        held("raw"),
        {"image": "F102", "instance": "X13", "snapshot": "F253", "snapshot ebs": "F253"},
    ),
}


def plan_of(source: Source, way: str, **more: Any) -> ImportPlan:
    route, via = WAYS[way]
    values: dict[str, Any] = {
        "license_type": LicenseType.BYOL if route in {R.IMAGE, R.IMAGE_DIRECT} else None,
        "legacy": TYPES if route is R.INSTANCE else None,
        **more,
    }
    return ImportPlan("p", source, REGION, "a-bucket", route, via=via, **values)


def blockers(plan: ImportPlan, machine: Machine) -> list[str]:
    return [f.fact for f in check_plan(plan, machine) if f.severity is Severity.BLOCKER]


CELLS = [(row, way) for row in MATRIX for way in WAYS]


@pytest.mark.parametrize(("row", "way"), CELLS, ids=[f"{row} x {way}" for row, way in CELLS])
def test_every_cell(row: str, way: str) -> None:
    source, machine, refused = MATRIX[row]
    fact = refused.get(way, "")
    found = [f for f in check_plan(plan_of(source, way), machine) if f.severity is Severity.BLOCKER]
    assert [f.fact for f in found] == ([fact] if fact else [])
    for finding in found:
        assert finding.remedy, "a refusal names the way that is there"
        assert finding.what


@pytest.mark.parametrize("row", MATRIX)
def test_the_options_agree_with_the_plans(row: str) -> None:
    """A route is refused exactly when all ways of it are; an EBS snapshot can always become a volume."""
    source, machine, refused = MATRIX[row]
    options = {option.route: option for option in route_options(source, machine, REGION)}
    assert list(options) == [R.IMAGE, R.IMAGE_DIRECT, R.UNMODIFIED, R.SNAPSHOT, R.INSTANCE]
    for route, option in options.items():
        reasons = [refused.get(way, "") for way, (where, _) in WAYS.items() if where is route]
        if route is R.SNAPSHOT and isinstance(source, SnapshotSource):
            reasons = []
        impossible = bool(reasons) and all(reasons)
        assert bool(option.refused) is impossible, option
        assert option.fact == (reasons[0] if impossible else "")
        assert option.label
        assert option.words
        assert not option.doubt


@pytest.mark.parametrize("row", MATRIX)
def test_ways_agree_with_the_plans(row: str) -> None:
    source, machine, refused = MATRIX[row]
    for route, name in ((R.UNMODIFIED, "unmodified"), (R.SNAPSHOT, "snapshot")):
        facts_of = {option.via: option.fact for option in via_options(route, source, machine)}
        if isinstance(source, SnapshotSource):
            assert facts_of == {}
        else:
            assert facts_of == {Via.S3: refused.get(name, ""), Via.EBS: refused.get(f"{name} ebs", "")}
    for route in (R.IMAGE, R.IMAGE_DIRECT, R.INSTANCE):
        assert via_options(route, source, machine) == ()


@pytest.mark.parametrize(
    ("row", "route"),
    [
        ("VM off", R.IMAGE),
        ("OVA", R.IMAGE),
        ("QCOW2", R.IMAGE),
        ("S3 VMDK sparse", R.IMAGE_DIRECT),
        ("S3 OVA", R.IMAGE),
        ("EBS snapshot", R.IMAGE_DIRECT),
    ],
)
def test_what_is_recommended(row: str, route: Route) -> None:
    source, machine, _ = MATRIX[row]
    assert first_acceptable(route_options(source, machine, REGION)) is route


@pytest.mark.parametrize(
    ("change", "route"),
    [
        ({"guest_id": "freebsd13_64Guest", "guest_name": "FreeBSD 13"}, R.UNMODIFIED),
        ({"guest_id": "otherLinuxArm64Guest", "guest_name": "Debian 12 ARM"}, R.UNMODIFIED),
        ({"guest_id": "", "guest_name": ""}, R.SNAPSHOT),
    ],
)
def test_a_guest_aws_cannot_convert_is_recommended_what_takes_it(change: dict[str, Any], route: Route) -> None:
    machine = replace(held("raw"), **change)
    options = route_options(FILE, machine, REGION)
    assert first_acceptable(options) is route
    image = options[0]
    assert image.doubt
    assert not image.refused, "the user may still want it"


def test_nothing_is_recommended_against_a_refusal() -> None:
    away = replace(DEBIAN, power=Power.SUSPENDED)
    options = route_options(VM, away, REGION)
    assert all("suspended" in option.refused for option in options)
    assert first_acceptable(options) is R.IMAGE


# -- where and how large


@pytest.mark.parametrize(
    ("region", "refused"), [("eu-west-1", ""), ("cn-north-1", ""), ("eu-south-2", "F266"), ("eu-west-3", "F266")]
)
def test_instance_import_is_in_its_regions_only(region: str, refused: str) -> None:
    options = {option.route: option for option in route_options(FILE, held("raw"), region)}
    assert options[R.INSTANCE].fact == refused
    assert options[R.IMAGE].fact == ""


def test_a_windows_client_cannot_take_the_instance_route() -> None:
    client = replace(DEBIAN, guest_id="windows9_64Guest", guest_name="Microsoft Windows 10 (64-bit)")
    assert client.os_family is OsFamily.WINDOWS_CLIENT
    options = {option.route: option for option in route_options(VM, client, REGION)}
    assert options[R.INSTANCE].fact == "F260"
    assert blockers(plan_of(VM, "instance", legacy=LegacyInstance("m5.large")), client) == ["F260"]


@pytest.mark.parametrize(
    ("tib", "way", "expected"),
    [
        (7.9, "image", []),
        (8, "image", ["F119"]),
        (12, "direct", ["F119"]),
        (12, "snapshot", ["F118"]),
        (12, "unmodified", ["F118"]),
        (12, "snapshot ebs", []),
        (12, "unmodified ebs", []),
        (12, "instance", []),
        (16, "snapshot ebs", []),
        (16, "unmodified", ["F118"]),
        (20, "unmodified ebs", []),
        (64, "snapshot ebs", []),
        (64.1, "snapshot ebs", ["F118"]),
        (20, "direct", ["F119"]),
        (16, "instance", ["F118"]),
    ],
)
def test_the_way_over_8_tib(tib: float, way: str, expected: list[str]) -> None:
    machine = replace(DEBIAN, disks=(Disk(1, "disk", int(tib * facts.TIB)),))
    found = [
        f for f in check_plan(plan_of(VM, way), machine) if f.fact in {"F118", "F119"} and f.severity > Severity.INFO
    ]
    assert [f.fact for f in found] == expected
    assert all(f.severity is Severity.BLOCKER and f.remedy for f in found)


@pytest.mark.parametrize(
    ("tib", "kind", "remark", "refused"),
    [(15, "gp2", False, False), (16.5, "gp3", True, False), (16.5, "gp2", True, True), (2, "standard", False, True)],
)
def test_the_volume_of_a_large_disk_is_of_a_type_that_is_large_enough(
    tib: float, kind: str, remark: bool, refused: bool
) -> None:
    machine = replace(DEBIAN, disks=(Disk(1, "disk", int(tib * facts.TIB)),))
    plan = plan_of(VM, "snapshot ebs", volumes=Volumes(f"{REGION}a", kind))
    found = check_plan(plan, machine)
    assert any("gp3 or io2" in f.what for f in found if f.severity is Severity.INFO) == remark
    assert any(f.fact == "F254" and "gp3" in f.remedy for f in found if f.severity is Severity.BLOCKER) == refused


def test_over_8_tib_the_way_by_ebs_is_offered() -> None:
    machine = replace(DEBIAN, disks=(Disk(1, "disk", 12 * facts.TIB),))
    options = {option.route: option for option in route_options(VM, machine, REGION)}
    assert {route for route, option in options.items() if option.refused} == {R.IMAGE, R.IMAGE_DIRECT}
    assert first_acceptable(tuple(options.values())) is R.UNMODIFIED
    assert default_route(VM, machine, REGION) is R.IMAGE, "nobody gets an unmodified AMI without asking for it"
    assert default_via(R.UNMODIFIED, VM, machine) is Via.EBS


def test_more_disks_than_import_image_takes() -> None:
    most = facts.limit("import", "max_volumes_per_vm")["value"]
    options = {option.route: option for option in route_options(FILE, held("raw", count=most + 1), REGION)}
    assert {route: option.fact for route, option in options.items() if option.refused} == {
        R.IMAGE: "F114",
        R.IMAGE_DIRECT: "F114",
        R.INSTANCE: "F025",
    }
    assert not route_options(FILE, held("raw", count=most), REGION)[0].refused


# -- what is uploaded, and what for


@pytest.mark.parametrize(
    ("route", "refused"),
    [
        (R.IMAGE, {}),
        (R.UNMODIFIED, {UploadFormat.OVA: "F024"}),
        (R.SNAPSHOT, {UploadFormat.OVA: "F243"}),
        (R.INSTANCE, {UploadFormat.OVA: "F024"}),
    ],
)
def test_formats(route: Route, refused: dict[UploadFormat, str]) -> None:
    found = {option.format: option.fact for option in format_options(route, VM, DEBIAN)}
    assert found == {**dict.fromkeys(UploadFormat, ""), **refused}
    for kind, fact in found.items():
        legacy = TYPES if route is R.INSTANCE else None
        plan = ImportPlan("p", VM, REGION, "a-bucket", route, kind, legacy=legacy)
        assert [f.fact for f in check_route(plan, DEBIAN) if f.severity is Severity.BLOCKER] == ([fact] if fact else [])


@pytest.mark.parametrize(
    ("source", "way", "bucket", "role"),
    [
        (VM, "image", True, True),
        (OBJECT, "image", False, True),
        (VM, "direct", False, True),
        (SNAPSHOT, "direct", False, True),
        (FILE, "unmodified", True, True),
        (OBJECT, "unmodified", False, True),
        (FILE, "unmodified ebs", False, False),
        (SNAPSHOT, "unmodified", False, False),
        (VM, "snapshot ebs", False, False),
        (OBJECT, "snapshot ebs", False, False),
        (FILE, "instance", True, False),
        (OBJECT, "instance", True, False),
    ],
)
def test_bucket_and_role_are_asked_for_where_they_are_used(source: Source, way: str, bucket: bool, role: bool) -> None:
    machine = held("raw") if source is not VM else DEBIAN
    plan = replace(plan_of(source, way, role_name="not a role!"), bucket="", volumes=None)
    assert (needs_bucket(plan), needs_role(plan)) == (bucket, role)
    assert bool(format_options(plan.route, source, machine, plan.via)) is bucket
    found = blockers(plan, machine)
    assert ("F207" in found, "F161" in found) == (bucket, role)


# -- what a route must be told

UEFI = replace(DEBIAN, firmware=Firmware.UEFI)
OLD = replace(DEBIAN, guest_id="debian8Guest", guest_name="Debian GNU/Linux 8 (32-bit)")
ARM = replace(DEBIAN, guest_id="otherLinuxArm64Guest", guest_name="Debian GNU/Linux 12 ARM")
FREEBSD = replace(DEBIAN, guest_id="freebsd13_64Guest", guest_name="FreeBSD 13")


@pytest.mark.parametrize(
    ("way", "machine", "change", "expected"),
    [
        ("direct", UEFI, {}, ["F102"]),
        ("direct", UEFI, {"platform": "Linux"}, []),
        ("direct", DEBIAN, {}, []),
        ("direct", replace(DEBIAN, guest_id="", guest_name=""), {}, ["F102"]),
        ("unmodified", UEFI, {}, ["F228"]),
        ("unmodified", UEFI, {"boot_mode": BootMode.UEFI}, []),
        ("unmodified", ARM, {"boot_mode": BootMode.UEFI}, ["F228"]),
        ("unmodified", ARM, {"boot_mode": BootMode.UEFI, "architecture": "arm64"}, []),
        ("unmodified", ARM, {"boot_mode": BootMode.LEGACY_BIOS, "architecture": "arm64"}, ["F228"]),
        ("unmodified", DEBIAN, {"architecture": "arm64"}, ["F228"]),
        ("unmodified", DEBIAN, {"architecture": "sparc"}, [""]),
        ("unmodified", DEBIAN, {"root_device": "sda"}, ["F230"]),
        ("unmodified", FREEBSD, {}, []),
        ("unmodified", DEBIAN, {"license_type": LicenseType.AWS}, [""]),
        ("unmodified", DEBIAN, {"volumes": Volumes("eu-west-1a")}, ["F253"]),
        ("snapshot", DEBIAN, {"volumes": Volumes("eu-west-1a")}, []),
        ("snapshot", DEBIAN, {"volumes": Volumes("eu-west-2a")}, ["F253"]),
        ("snapshot", DEBIAN, {"volumes": Volumes("")}, ["F253"]),
        ("snapshot", DEBIAN, {"volumes": Volumes("", "gp3", "i-0123456789abcdef0")}, []),
        ("snapshot", DEBIAN, {"volumes": Volumes("eu-west-1a", "gp3", "web-01")}, ["F255"]),
        ("snapshot", DEBIAN, {"volumes": Volumes("eu-west-1a", "ssd")}, ["F254"]),
        ("snapshot", DEBIAN, {"copy_to": ("eu-west-2",)}, ["F233"]),
        ("instance", DEBIAN, {"test_launch": TestLaunch()}, ["F233"]),
        ("image", DEBIAN, {"copy_to": ("eu-west-2", "us-east-1"), "test_launch": TestLaunch()}, []),
        ("image", DEBIAN, {"copy_to": (REGION,)}, ["F233"]),
        ("image", DEBIAN, {"copy_to": ("Ireland",)}, ["F233"]),
        ("image", DEBIAN, {"copy_to": ("eu-west-2", "eu-west-2")}, ["F233"]),
        ("image", DEBIAN, {"legacy": TYPES}, [""]),
        ("instance", DEBIAN, {"legacy": LegacyInstance("m5.large")}, ["F262"]),
    ],
)
def test_needs_of_a_route(way: str, machine: Machine, change: dict[str, Any], expected: list[str]) -> None:
    assert blockers(plan_of(VM, way, **change), machine) == expected


def test_an_ebs_snapshot_becomes_a_volume_or_an_ami_of_its_own_encryption() -> None:
    assert blockers(plan_of(SNAPSHOT, "snapshot", volumes=Volumes("eu-west-1a")), held("raw")) == []
    assert blockers(plan_of(SNAPSHOT, "unmodified", encrypted=True), held("raw")) == [""]
    assert blockers(plan_of(FILE, "unmodified", encrypted=True), held("raw")) == []


def test_an_unmodified_ami_is_not_promised_to_boot() -> None:
    warned = [
        f.fact for f in check_plan(plan_of(VM, "unmodified", ena=False), DEBIAN) if f.severity is Severity.WARNING
    ]
    assert {"F229", "F126"} <= set(warned)


# -- what is taken when nothing was said


@pytest.mark.parametrize(
    ("machine", "expected"),
    [(DEBIAN, "x86_64"), (ARM, "arm64"), (OLD, "i386")],
    ids=["64 bits", "ARM", "32 bits"],
)
def test_the_architecture_is_the_guests(machine: Machine, expected: str) -> None:
    assert default_architecture(machine) == expected


def test_the_format_is_the_first_that_is_possible() -> None:
    possible = [option.format for option in format_options(R.IMAGE, VM, DEBIAN) if not option.refused]
    assert len(possible) > 1 and default_format(R.IMAGE, VM, DEBIAN) is possible[0] is UploadFormat.VMDK


@pytest.mark.parametrize("machine", [DEBIAN, UEFI, ARM, replace(DEBIAN, guest_id="winNetStandardGuest")])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "instance"])
def test_defaults_need_no_correction(way: str, machine: Machine) -> None:
    """What the guest answers itself is never asked for, nor wrong: only what is wrong with the guest is left."""
    plan = with_defaults(plan_of(VM, way, license_type=None, architecture=default_architecture(machine)), machine)
    assert {"F102", "F228"} & set(blockers(plan, machine)) == set()


@pytest.mark.parametrize(
    ("source", "route", "via"),
    [
        (VM, R.IMAGE_DIRECT, Via.EBS),
        (FILE, R.IMAGE_DIRECT, Via.EBS),
        (OBJECT, R.IMAGE, Via.S3),
        (SNAPSHOT, R.IMAGE_DIRECT, Via.S3),
    ],
)
def test_without_a_bucket_ebs_direct_is_taken(source: Source, route: Route, via: Via) -> None:
    machine = DEBIAN if source is VM else held("vmdk-stream streamOptimized")
    assert default_route(source, machine, REGION, bucket=False) is route
    assert default_via(R.SNAPSHOT, source, machine, bucket=False) is via
    assert default_via(R.SNAPSHOT, source, machine) is Via.S3
