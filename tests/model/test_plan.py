"""A plan survives its way through the database, whatever its source and route."""

from __future__ import annotations

import json

import pytest

from vmie_tui.model.job import Stage, import_stages
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
    Via,
    VmSource,
    Volumes,
)

VM = VmSource("vcenter.corp", "vm-7", "web-01", "uuid")
FILE = FileSource("web.ova", ("/images/web.ova",), raw=False)
OBJECT = ObjectSource("web", "images", ("web/disk-1.vmdk", "web/disk-2.vmdk"), "VMDK")
SNAPSHOT = SnapshotSource("web", ("snap-0a", "snap-0b"))


def plan(source: Source = VM, **values: object) -> ImportPlan:
    return ImportPlan("prod", source, "eu-west-1", "images", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [VM, FILE, OBJECT, SNAPSHOT], ids=lambda source: source.KIND)
def test_plan_comes_back_from_json(source: Source) -> None:
    made = plan(
        source,
        route=Route.UNMODIFIED,
        via=Via.EBS,
        license_type=LicenseType.BYOL,
        boot_mode=BootMode.UEFI,
        tags={"a": "b"},
        override=("x",),
        volumes=Volumes("eu-west-1a", instance_id="i-1"),
        legacy=LegacyInstance("m5.large", volume_only=True),
        copy_to=("us-east-1",),
        test_launch=TestLaunch(key_name="ops"),
    )
    assert ImportPlan.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_plan_of_an_older_version_is_read() -> None:
    data = plan().to_json()
    for new in ("via", "volumes", "legacy", "copy_to", "test_launch", "clean_up", "architecture", "ena", "root_device"):
        del data[new]
    del data["source"]["kind"]
    assert ImportPlan.from_json(data) == plan()


@pytest.mark.parametrize(
    ("source", "values", "stages"),
    [
        (VM, {}, "check snapshot upload import finish"),
        (VM, {"route": Route.IMAGE_DIRECT}, "check snapshot upload import finish"),
        (FILE, {"route": Route.UNMODIFIED}, "check upload import register finish"),
        (FILE, {"route": Route.UNMODIFIED, "via": Via.EBS}, "check upload register finish"),
        (OBJECT, {}, "check import finish"),
        (OBJECT, {"route": Route.INSTANCE}, "check upload import finish"),
        (OBJECT, {"route": Route.SNAPSHOT}, "check import finish"),
        (SNAPSHOT, {"route": Route.UNMODIFIED, "test_launch": TestLaunch()}, "check register launch finish"),
        (SNAPSHOT, {"route": Route.SNAPSHOT, "volumes": Volumes("eu-west-1a")}, "check register finish"),
        (SNAPSHOT, {"route": Route.IMAGE_DIRECT}, "check import finish"),
    ],
)
def test_stages_follow_from_source_and_route(source: Source, values: dict[str, object], stages: str) -> None:
    assert [stage.value for stage in import_stages(plan(source, **values))] == stages.split()
    assert all(isinstance(stage, Stage) for stage in import_stages(plan(source, **values)))


def test_only_a_virtual_machine_is_one() -> None:
    assert plan().vm is VM
    with pytest.raises(TypeError, match="no virtual machine"):
        _ = plan(FILE).vm
