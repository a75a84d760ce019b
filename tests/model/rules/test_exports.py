"""What may not leave EC2, and why: every consideration of the guides, on values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model import facts
from vmie_tui.model.export import Container, DeployTarget, ExportFormat, ExportPlan, TargetEnvironment, export_stages
from vmie_tui.model.exportable import Exportable, ExportBucket, ExportDisk
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.job import Stage
from vmie_tui.model.rules.export_bucket import check_bucket
from vmie_tui.model.rules.exports import check_export, check_exportable, instance_formats

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741
ROOT = ExportDisk("/dev/xvda", 8, "vol-1", "snap-1", snapshot_exists=True)
INSTANCE = Exportable(
    "i-0123456789abcdef0",
    "eu-west-1",
    account="123456789012",
    owner="123456789012",
    state="stopped",
    platform_details="Linux/UNIX",
    usage_operation="RunInstances",
    disks=(ROOT,),
    interfaces=1,
    image_id="ami-1",
    image_exists=True,
    image_imported=True,
    image_owner="123456789012",
    active_tasks=0,
)
IMAGE = replace(
    INSTANCE, id="ami-0123456789abcdef0", state="available", interfaces=None, image_id="", image_exists=None
)
TO_INSTANCE = ExportPlan(
    "p",
    INSTANCE.id,
    "app",
    "eu-west-1",
    "a-bucket",
    "vms/",
    container=Container.OVA,
    target_environment=TargetEnvironment.VMWARE,
)
TO_IMAGE = replace(TO_INSTANCE, source_id=IMAGE.id, container=Container.NONE, target_environment=TargetEnvironment.NONE)
GOOD = ExportBucket("a-bucket", "eu-west-1", True, "BucketOwnerPreferred", "AES256", True)


def facts_of(findings: tuple[Finding, ...], least: Severity = W) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.fact) for finding in findings if finding.severity >= least]


def disk(**change: object) -> dict[str, object]:
    return {"disks": (replace(ROOT, **change),)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "of_instance", "of_image"),
    [
        ({}, [], []),
        ({"usage_operation": "RunInstances:0002", "windows": True}, [(B, "F300")], [(B, "F327")]),
        ({"usage_operation": "RunInstances:0006", "windows": True}, [(B, "F300")], [(B, "F327")]),
        ({"usage_operation": "RunInstances:0200"}, [(B, "F300")], [(B, "F327")]),
        ({"usage_operation": "", "platform_details": "Windows", "windows": True}, [(B, "F300")], [(B, "F327")]),
        ({"usage_operation": "RunInstances:0800", "windows": True}, [(W, "F300")], [(W, "F327")]),
        ({"usage_operation": "RunInstances:0010"}, [(B, "F300")], [(B, "F327")]),
        ({"product_codes": ("abc",)}, [(B, "F300")], [(B, "F327")]),
        (disk(encrypted=True), [(B, "F301")], [(B, "F328")]),
        ({"disks": (ROOT, ExportDisk("/dev/sdb", instance_store=True))}, [(B, "F302")], [(W, "F329")]),
        (disk(late=True), [(W, "F303")], [(W, "F303")]),
        (disk(size_gib=1024), [], []),
        (disk(size_gib=1025), [(B, "F309")], [(B, "F333")]),
        (disk(snapshot_exists=False), [(B, "F304")], [(B, "F326")]),
        ({"disks": (ROOT, replace(ROOT, device="/dev/sdb"))}, [(B, "F305")], []),
        ({"owner": "210987654321"}, [(B, "F307")], [(B, "F331")]),
        ({"state": "terminated"}, [(B, "F304")], [(B, "F326")]),
        ({"boot_mode": "uefi-preferred"}, [(W, "F311")], [(W, "F333")]),
        ({"active_tasks": 5}, [(W, "F308")], [(W, "F333")]),
        ({"running": ("export-ami-1",)}, [(W, "F308")], [(B, "F332")]),
    ],
)
def test_considerations(
    change: dict[str, object], of_instance: list[tuple[Severity, str]], of_image: list[tuple[Severity, str]]
) -> None:
    assert facts_of(check_exportable(replace(INSTANCE, **change))) == of_instance  # type: ignore[arg-type]
    assert facts_of(check_exportable(replace(IMAGE, **change))) == of_image  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"state": "running"}, [(W, "F313")]),
        ({"interfaces": 2}, [(B, "F306")]),
        ({"image_exists": False, "image_owner": ""}, [(B, "F304")]),
        ({"image_owner": "210987654321"}, [(B, "F307")]),
        ({"image_owner": "amazon", "image_imported": False}, [(W, "F307")]),
        ({"state": "pending"}, [(B, "F304")]),
    ],
)
def test_considerations_of_instances(change: dict[str, object], expected: list[tuple[Severity, str]]) -> None:
    assert facts_of(check_exportable(replace(INSTANCE, **change))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("thing", [INSTANCE, IMAGE], ids=["instance", "image"])
def test_a_32_bit_system_cannot_leave_any_more(thing: Exportable) -> None:
    assert facts_of(check_exportable(replace(thing, architecture="x86_64"))) == []
    (refused,) = (f for f in check_exportable(replace(thing, architecture="i386")) if f.severity is B)
    assert refused.fact == "F045" and "2026-04-01" in refused.what and refused.remedy


def test_the_documented_texts_are_named() -> None:
    two = replace(INSTANCE, disks=(ROOT, replace(ROOT, device="/dev/sdb")), interfaces=2)
    texts = [finding.prevents for finding in check_exportable(two) if finding.severity is B]
    assert texts == [facts.error("E16")["message"], "Client.NotExportable: This instance cannot be exported."]
    [never] = [f for f in check_exportable(replace(INSTANCE, image_imported=False)) if f.fact == "F271"]
    assert never.severity is I and never.prevents == "Client.NotExportable: Only imported instances can be exported."


@pytest.mark.parametrize(
    ("form", "container", "target", "allowed"),
    [
        ("VMDK", "ova", "vmware", True),
        ("VMDK", "", "vmware", True),
        ("VHD", "", "citrix", True),
        ("VHD", "", "microsoft", True),
        ("VHD", "", "vmware", False),
        ("VHD", "ova", "vmware", False),
        ("VMDK", "", "citrix", False),
        ("VMDK", "ova", "microsoft", False),
        ("RAW", "", "vmware", False),
        ("VMDK", "", "", False),
    ],
)
def test_formats_of_instances(form: str, container: str, target: str, allowed: bool) -> None:
    plan = replace(
        TO_INSTANCE,
        format=ExportFormat(form),
        container=Container(container),
        target_environment=TargetEnvironment(target),
    )
    assert facts_of(check_export(plan)) == ([] if allowed else [(B, "F299")])
    assert ((plan.format, plan.container, plan.target_environment) in instance_formats()) is allowed


def test_formats_of_images() -> None:
    for form in ExportFormat:
        assert facts_of(check_export(replace(TO_IMAGE, format=form))) == []
    assert facts_of(check_export(replace(TO_IMAGE, container=Container.OVA))) == [(B, "F324")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bucket": ""}, [(B, "F272")]),
        ({"bucket": "Not a bucket"}, [(B, "")]),
        ({"region": ""}, [(B, "F272")]),
        ({"role_name": "arn:aws:iam::1:role/x"}, [(B, "F323")]),
        ({"description": "x" * 255}, []),
        ({"description": "x" * 256}, [(B, "X10")]),
        ({"convert_to": "raw"}, [(B, "")]),
        ({"convert_to": "raw", "download_to": "/d"}, []),
        ({"tags": {"note": "AKIAIOSFODNN7EXAMPLE"}}, [(B, "F342")]),
    ],
)
def test_targets(change: dict[str, object], expected: list[tuple[Severity, str]]) -> None:
    assert facts_of(check_export(replace(TO_IMAGE, **change))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "of_instance", "of_image"),
    [
        ({}, [], []),
        ({"region": "us-east-1"}, [(B, "F272")], [(B, "F323")]),
        ({"owned": False}, [(B, "F273")], [(B, "F323")]),
        ({"encryption": "aws:kms"}, [(B, "F310")], [(B, "F333")]),
        ({"encryption": "aws:kms:dsse"}, [(B, "F310")], [(B, "F333")]),
        ({"encryption": ""}, [], []),
        ({"ownership": "BucketOwnerEnforced"}, [(B, "F274")], []),
        ({"granted": False}, [(B, "F276")], []),
        ({"region": None, "owned": None, "ownership": None, "encryption": None, "granted": None}, [], []),
    ],
)
def test_buckets(
    change: dict[str, object], of_instance: list[tuple[Severity, str]], of_image: list[tuple[Severity, str]]
) -> None:
    bucket = replace(GOOD, **change)  # type: ignore[arg-type]
    assert facts_of(check_bucket(bucket, "eu-west-1", instance=True)) == of_instance
    assert facts_of(check_bucket(bucket, "eu-west-1", instance=False)) == of_image
    assert facts_of(check_export(TO_INSTANCE, replace(INSTANCE, bucket=bucket))) == of_instance


def test_a_bucket_elsewhere_has_its_documented_error() -> None:
    [finding] = check_bucket(replace(GOOD, region="us-east-1"), "eu-west-1", instance=True)
    assert "given S3 object is not local to the region" in finding.prevents


def test_the_worst_comes_first() -> None:
    bad = replace(INSTANCE, state="running", interfaces=2, image_imported=False)
    severities = [finding.severity for finding in check_export(TO_INSTANCE, bad)]
    assert severities == sorted(severities, reverse=True) and len(set(severities)) == 3


# -- plans


def test_keys_are_the_documented_ones() -> None:
    assert TO_INSTANCE.object_key("export-i-1234567890abcdef0") == "vms/export-i-1234567890abcdef0.ova"
    image = replace(TO_IMAGE, prefix="exports")
    assert image.object_key("export-ami-1234567890abcdef0") == "exports/export-ami-1234567890abcdef0.vmdk"
    assert replace(image, prefix="/").object_key("export-ami-1") == "export-ami-1.vmdk"


def test_stages() -> None:
    assert export_stages(TO_IMAGE) == (Stage.CHECK, Stage.EXPORT, Stage.FINISH)
    assert export_stages(replace(TO_IMAGE, download_to="/d")) == (
        Stage.CHECK,
        Stage.EXPORT,
        Stage.DOWNLOAD,
        Stage.FINISH,
    )
    everything = replace(TO_IMAGE, deploy=DeployTarget("vm", "resgroup-1", "datastore-1"))
    assert export_stages(everything) == (Stage.CHECK, Stage.EXPORT, Stage.DEPLOY, Stage.FINISH), "it is read from S3"
    everything = replace(everything, download_to="/d")
    assert export_stages(everything)[2:4] == (Stage.DOWNLOAD, Stage.DEPLOY)


@given(
    st.builds(
        ExportPlan,
        profile=st.text(),
        source_id=st.sampled_from(("i-1", "ami-1")),
        name=st.text(),
        region=st.text(),
        bucket=st.text(),
        prefix=st.text(),
        format=st.sampled_from(ExportFormat),
        container=st.sampled_from(Container),
        target_environment=st.sampled_from(TargetEnvironment),
        tags=st.dictionaries(st.text(), st.text()),
        deploy=st.none()
        | st.builds(DeployTarget, st.text(), st.text(), st.text(), cpus=st.integers(), uefi=st.booleans()),
        override=st.lists(st.text()).map(tuple),
    )
)
def test_plans_survive_json(plan: ExportPlan) -> None:
    assert ExportPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
