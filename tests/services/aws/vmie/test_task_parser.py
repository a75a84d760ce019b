"""Import tasks: the answers the guides print, and what we send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.task import USER_CANCELLED, TaskKind
from vmie_tui.services.aws.vmie.import_tasks import ImageRequest, ImportDisk, SnapshotRequest, kind_of
from vmie_tui.services.aws.vmie.task_parser import image_task, number_of, progress_of, snapshot_task

COMPLETED = {
    "ImportTaskId": "import-ami-01234567890abcdef",
    "ImageId": "ami-1234567890EXAMPLE",
    "SnapshotDetails": [
        {
            "DiskImageSize": 705638400.0,
            "Format": "ova",
            "SnapshotId": "snap-111222333444aaabb",
            "Status": "completed",
            "UserBucket": {"S3Bucket": "amzn-s3-demo-import-bucket", "S3Key": "vms/my-server-vm.ova"},
        }
    ],
    "Status": "completed",
}
CONVERTING = {
    "Description": "My server VM",
    "ImportTaskId": "import-snap-1234567890abcdef0",
    "SnapshotTaskDetail": {
        "Description": "My server VMDK",
        "DiskImageSize": "3.115815424E9",
        "Format": "VMDK",
        "Progress": "22",
        "Status": "active",
        "StatusMessage": "downloading/converting",
        "UserBucket": {"S3Bucket": "amzn-s3-demo-import-bucket", "S3Key": "vms/my-server-vm.vmdk"},
    },
}


def test_completed_image_task_as_printed() -> None:
    task = image_task(COMPLETED, "eu-west-1")
    assert (task.kind, task.completed, task.progress) == (TaskKind.IMPORT_IMAGE, True, None)
    assert task.image_id == "ami-1234567890EXAMPLE"
    (disk,) = task.disks
    assert (disk.snapshot_id, disk.image_size, disk.key) == (
        "snap-111222333444aaabb",
        705638400.0,
        "vms/my-server-vm.ova",
    )


def test_running_snapshot_task_as_printed() -> None:
    task = snapshot_task(CONVERTING, "eu-west-1")
    assert (task.state, task.progress, task.reason) == ("active", 22, "downloading/converting")
    assert task.disks[0].image_size == 3115815424.0
    assert not task.terminal


def test_failure_and_cancellation_both_end_as_deleted() -> None:
    failed = image_task({"ImportTaskId": "i", "Status": "deleted", "StatusMessage": "ClientError: x"}, "r")
    assert failed.failed
    by_user = image_task({"ImportTaskId": "i", "Status": "deleted", "StatusMessage": USER_CANCELLED}, "r")
    assert not by_user.failed


def test_nothing_but_an_id() -> None:
    assert image_task({"ImportTaskId": "import-ami-1"}, "r").disks == ()
    assert snapshot_task({"ImportTaskId": "import-snap-1"}, "r").state == ""


@pytest.mark.parametrize(
    ("value", "progress"), [("62", 62), (62, 62), ("62%", 62), ("3.7", 3), (None, None), ("", None), ("x", None)]
)
def test_progress(value: object, progress: int | None) -> None:
    assert progress_of(value) == progress


@given(st.one_of(st.none(), st.text(max_size=8), st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_never_raise(value: object) -> None:
    number = number_of(value)
    assert number is None or isinstance(number, float)


def test_absent_values_are_left_out() -> None:
    request = ImageRequest(disks=(("b", "k", "VMDK", "Disk 1"), ImportDisk(snapshot_id="snap-1")))
    assert request.to_api() == {
        "DiskContainers": [
            {"Description": "Disk 1", "Format": "VMDK", "UserBucket": {"S3Bucket": "b", "S3Key": "k"}},
            {"SnapshotId": "snap-1"},
        ]
    }


def test_every_field_reaches_the_api() -> None:
    request = ImageRequest(
        disks=(("b", "k", "OVA"),),
        description="x" * 300,
        license_type="BYOL",
        boot_mode="uefi",
        platform="Linux",
        architecture="x86_64",
        encrypted=True,
        kms_key_id="alias/k",
        role_name="vmimport2",
        tags={"Name": "web"},
        client_token="token",
    ).to_api()
    assert len(request.pop("Description")) == 255
    assert request == {
        "DiskContainers": [{"Format": "OVA", "UserBucket": {"S3Bucket": "b", "S3Key": "k"}}],
        "LicenseType": "BYOL",
        "BootMode": "uefi",
        "Platform": "Linux",
        "Architecture": "x86_64",
        "Encrypted": True,
        "KmsKeyId": "alias/k",
        "RoleName": "vmimport2",
        "TagSpecifications": [{"ResourceType": "import-image-task", "Tags": [{"Key": "Name", "Value": "web"}]}],
        "ClientToken": "token",
    }
    snapshot = SnapshotRequest(("b", "k"), tags={"a": "b"}).to_api()
    assert snapshot["DiskContainer"] == {"Format": "VMDK", "UserBucket": {"S3Bucket": "b", "S3Key": "k"}}
    assert snapshot["TagSpecifications"][0]["ResourceType"] == "import-snapshot-task"


def test_ids_tell_the_kind() -> None:
    assert kind_of("import-ami-1") is TaskKind.IMPORT_IMAGE
    assert kind_of("import-snap-1") is TaskKind.IMPORT_SNAPSHOT
    with pytest.raises(ServiceError, match="export-i-1"):
        kind_of("export-i-1")
