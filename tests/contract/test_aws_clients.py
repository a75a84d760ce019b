"""Clients that we did not write against our simulated AWS: AWS's own command line, s5cmd and obstore.

``.ci/contract-clients`` installs them and prints the folder to name in VMIE_CLIENTS; without it all are skipped. The
commands of the guides are those of its chapters, with the placeholders filled in.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kits.aws_clients import BUCKET, MIB, REGION, Kit, linux_disk, running
from vmie_tui.simulators.aws.export_checks import canonical_id
from vmie_tui.simulators.control import TlsFiles

CLIENTS = os.environ.get("VMIE_CLIENTS", "")
pytestmark = pytest.mark.skipif(
    not CLIENTS or not Path(CLIENTS).is_dir(), reason="VMIE_CLIENTS names no folder of clients: .ci/contract-clients"
)
EXPORTS = "sim-export-bucket"
SECONDS = 120
Aws = Callable[..., Any]


@dataclass
class Shell:
    """Runs one client with the simulator's address and keys; nothing of the developer's own."""

    kit: Kit
    env: dict[str, str]
    passed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def run(self, *words: str, refused: str = "", data: bytes | None = None) -> bytes:
        """What the command prints; ``refused``: the words it must fail with."""
        done = subprocess.run(
            [f"{CLIENTS}/{words[0]}", *words[1:]],
            env=self.env,
            input=data,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        said = done.stderr.decode(errors="replace")
        name = " ".join(word for word in words[:3] if not word.startswith(("-", "s3:", "/")))
        if refused:
            assert done.returncode != 0 and refused in said, f"{words}: {said}"
            self.refused.append(name)
        else:
            assert done.returncode == 0, f"{words}: {said}"
            self.passed.append(name)
        return done.stdout

    def aws(self, *words: str, refused: str = "") -> Any:
        """An AWS CLI command's JSON, None where it prints nothing."""
        out = self.run("aws", *words, refused=refused)
        return json.loads(out) if out.strip().startswith(b"{") else None


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("contract"), max_tasks=50) as kit:
        yield kit


@pytest.fixture
def shell(kit: Kit, tmp_path: Path) -> Shell:
    env = {
        "PATH": f"{CLIENTS}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": kit.sim.access_key,
        "AWS_SECRET_ACCESS_KEY": kit.sim.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": kit.sim.url,
        "AWS_CA_BUNDLE": str(kit.tls.ca),
        "SSL_CERT_FILE": str(kit.tls.ca),
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_ENDPOINT_URL": kit.sim.url,
        "AWS_PAGER": "",
    }
    return Shell(kit, env)


@pytest.fixture(scope="module")
def disk(kit: Kit) -> bytes:
    raw, vmdk = linux_disk(kit.folder)
    kit.put("disks/my-server-vm-disk1.vmdk", vmdk)
    kit.put("vms/my-server-vm.vmdk", vmdk)
    kit.put("vms/my-server-vm.ova", ova(vmdk))
    return raw


OVF = """<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References><File ovf:id="f1" ovf:href="a.vmdk"/></References>
 <DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection></Envelope>"""


def ova(vmdk: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (("vm.ovf", OVF.encode()), ("a.vmdk", vmdk)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def ended(kit: Kit, aws: Aws, list_words: tuple[str, ...], pick: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The task of a list once it is over, by the client's own eyes."""
    for _ in range(60):
        kit.sim.clock.advance(120)
        task = pick(aws(*list_words))
        if task.get("Status", task.get("State")) in {"completed", "deleted", "cancelled", "available"}:
            return task
    raise AssertionError(f"{list_words}: not over")


def test_the_service_role_as_the_guides_make_it(shell: Shell, kit: Kit, tmp_path: Path) -> None:
    """C01 and C02, with the documents in files and the hardened conditions."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "vmie.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"sts:Externalid": "vmimport", "aws:SourceAccount": kit.sim.account},
                    "ArnLike": {"aws:SourceArn": f"arn:aws:vmie:*:{kit.sim.account}:*"},
                },
            }
        ],
    }
    rights = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
            },
            {
                "Effect": "Allow",
                "Action": ["ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"],
                "Resource": "*",
            },
        ],
    }
    (tmp_path / "trust.json").write_text(json.dumps(trust))
    (tmp_path / "rights.json").write_text(json.dumps(rights))
    name = ("--role-name", "vmimport-cli")
    made = shell.aws("iam", "create-role", *name, "--assume-role-policy-document", f"file://{tmp_path}/trust.json")
    assert made["Role"]["Arn"].endswith(":role/vmimport-cli")
    rights_file = ("--policy-document", f"file://{tmp_path}/rights.json")
    shell.aws("iam", "put-role-policy", *name, "--policy-name", "vmimport", *rights_file)
    again = ("--assume-role-policy-document", f"file://{tmp_path}/trust.json")
    shell.aws("iam", "create-role", *name, *again, refused="EntityAlreadyExists")
    shell.aws("iam", "create-role", "--role-name", "x", *again[:1], "no json", refused="MalformedPolicyDocument")
    read = shell.aws("iam", "get-role-policy", *name, "--policy-name", "vmimport")
    assert read["PolicyDocument"]["Statement"] == rights["Statement"]
    assert shell.aws("sts", "get-caller-identity")["Account"] == kit.sim.account


def test_images_are_imported_as_the_guides_print_it(shell: Shell, kit: Kit, disk: bytes) -> None:
    """C03 to C11."""
    url = f"Format=OVA,Url=S3://{BUCKET}/vms/my-server-vm.ova"
    where = {"S3Bucket": BUCKET, "S3Key": "vms/my-server-vm.ova"}
    ova_container = json.dumps([{"Format": "OVA", "UserBucket": where}])
    described = ("--description", "Jul 15 14:55 My server VM")
    byol = shell.aws("ec2", "import-image", *described, "--license-type", "BYOL", "--disk-containers", ova_container)
    assert byol["ImportTaskId"].startswith("import-ami-") and byol["Status"] == "active"
    by_url = shell.aws("ec2", "import-image", "--usage-operation", "RunInstances", "--disk-containers", url)
    both = ("--license-type", "AWS", "--usage-operation", "RunInstances:0006")
    shell.aws("ec2", "import-image", *both, "--disk-containers", url, refused="Invalid")
    disks = json.dumps(
        [
            {"Description": "First disk", "Format": "vmdk", "UserBucket": {**where, "S3Key": f"disks/{name}.vmdk"}}
            for name in ("my-server-vm-disk1",)
        ]
    )
    several = shell.aws("ec2", "import-image", *described, "--disk-containers", disks)
    encrypted = shell.aws("ec2", "import-image", "--encrypted", "--disk-containers", disks)
    assert encrypted["Encrypted"] is True
    cancelled = shell.aws("ec2", "import-image", "--disk-containers", disks)
    answer = shell.aws("ec2", "cancel-import-task", "--import-task-id", cancelled["ImportTaskId"])
    assert answer["State"] in {"deleting", "deleted"}
    for started in (byol, by_url, several, encrypted):
        one = ("ec2", "describe-import-image-tasks", "--import-task-ids", started["ImportTaskId"])
        task = ended(kit, shell.aws, one, lambda answer: dict(answer["ImportImageTasks"][0]))
        assert task["Status"] == "completed", task
        assert task["ImageId"].startswith("ami-") and task["SnapshotDetails"][0]["SnapshotId"].startswith("snap-")
    query = "ImportImageTasks[*].{Progress:Progress, Status:Status, ImportTaskId:ImportTaskId}"
    table = shell.run("aws", "ec2", "describe-import-image-tasks", "--query", query, "--output", "table")
    assert byol["ImportTaskId"].encode() in table
    filtered = shell.aws(
        "ec2", "describe-import-image-tasks", "--filters", "Name=task-state,Values=deleted", "--max-items", "1"
    )
    assert filtered["ImportImageTasks"][0]["ImportTaskId"] == cancelled["ImportTaskId"]
    shell.aws("ec2", "cancel-import-task", "--import-task-id", byol["ImportTaskId"], refused="IncorrectState")
    shell.aws("ec2", "import-image", "--disk-containers", disks, "--dry-run", refused="DryRunOperation")


def test_a_snapshot_is_imported_and_becomes_a_volume_and_an_image(shell: Shell, kit: Kit, disk: bytes) -> None:
    """C12 to C18."""
    container = {"Format": "VMDK", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "vms/my-server-vm.vmdk"}}
    words = ("--disk-container", json.dumps({"Description": "My server VM", **container}))
    started = shell.aws("ec2", "import-snapshot", "--description", "My server VM", *words)
    assert started["SnapshotTaskDetail"]["Format"] == "VMDK"
    one = ("ec2", "describe-import-snapshot-tasks", "--import-task-ids", started["ImportTaskId"])
    detail = ended(kit, shell.aws, one, lambda answer: dict(answer["ImportSnapshotTasks"][0]["SnapshotTaskDetail"]))
    assert detail["Status"] == "completed"
    query = "ImportSnapshotTasks[*].{Status:SnapshotTaskDetail.Status,SnapshotID:SnapshotTaskDetail.SnapshotId}"
    table = shell.run("aws", "ec2", "describe-import-snapshot-tasks", "--query", query, "--output", "table")
    assert detail["SnapshotId"].encode() in table
    cancelled = shell.aws("ec2", "import-snapshot", *words)["ImportTaskId"]
    shell.aws("ec2", "cancel-import-task", "--import-task-id", cancelled)
    zone = ("--availability-zone", f"{REGION}a")
    volume = shell.aws("ec2", "create-volume", *zone, "--snapshot-id", detail["SnapshotId"])
    assert volume["SnapshotId"] == detail["SnapshotId"]
    kit.sim.clock.advance(30)
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": detail["SnapshotId"], "DeleteOnTermination": True}}]
    image = shell.aws(
        "ec2",
        "register-image",
        *("--name", "my-image", "--architecture", "x86_64", "--virtualization-type", "hvm"),
        *("--root-device-name", "/dev/sda1", "--boot-mode", "legacy-bios", "--ena-support"),
        *("--block-device-mappings", json.dumps(mapping)),
    )["ImageId"]
    shell.aws("ec2", "wait", "image-available", "--image-ids", image)
    launched = shell.aws(
        "ec2",
        "run-instances",
        "--image-id",
        image,
        "--instance-type",
        "t3.medium",
        *("--placement", f"AvailabilityZone={REGION}a"),
    )["Instances"][0]["InstanceId"]
    kit.sim.clock.advance(60)
    attached = shell.aws(
        "ec2", "attach-volume", "--volume-id", volume["VolumeId"], "--instance-id", launched, "--device", "/dev/sdf"
    )
    assert attached["InstanceId"] == launched
    attribute = ("--image-id", image, "--attribute", "description")
    assert shell.aws("ec2", "describe-image-attribute", *attribute)["ImageId"] == image
    shell.aws("ec2", "terminate-instances", "--instance-ids", launched)
    shell.aws("ec2", "deregister-image", "--image-id", image)
    shell.aws("ec2", "describe-image-attribute", *attribute, refused="InvalidAMIID")


def test_instances_and_images_are_exported(shell: Shell, kit: Kit, disk: bytes) -> None:
    """C19 to C28."""
    shell.aws(
        *("s3api", "create-bucket", "--bucket", EXPORTS, "--object-ownership", "BucketOwnerPreferred"),
        *("--create-bucket-configuration", f"LocationConstraint={REGION}"),
    )
    ownership = json.dumps({"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    shell.aws("s3api", "put-bucket-ownership-controls", "--bucket", EXPORTS, f"--ownership-controls={ownership}")
    arn = f"arn:aws:s3:::{EXPORTS}"
    grant = {
        "Sid": "GrantReadAcpAndWrite",
        "Effect": "Allow",
        "Principal": {"CanonicalUser": canonical_id(REGION)},
        "Action": ["s3:GetBucketAcl", "s3:PutObject"],
        "Resource": [arn, f"{arn}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [grant]})
    shell.aws("s3api", "put-bucket-policy", "--bucket", EXPORTS, "--policy", policy)
    role = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:GetBucketAcl"],
                "Resource": [arn, f"{arn}/*"],
            }
        ],
    }
    rights = ("--role-name", "vmimport", "--policy-name", "exports", "--policy-document", json.dumps(role))
    shell.aws("iam", "put-role-policy", *rights)
    image = str(kit.ended(kit.import_image("vms/my-server-vm.vmdk")["ImportTaskId"])["ImageId"])
    run = ("run-instances", "--image-id", image, "--instance-type", "t3.medium")
    instance = shell.aws("ec2", *run)["Instances"][0]["InstanceId"]
    kit.sim.clock.advance(60)
    to = {"ContainerFormat": "ova", "DiskImageFormat": "VMDK", "S3Bucket": EXPORTS, "S3Prefix": "vms/"}
    words = ("--instance-id", instance, "--target-environment", "vmware", "--export-to-s3-task", json.dumps(to))
    task = shell.aws("ec2", "create-instance-export-task", "--description", "My instance export", *words)["ExportTask"]
    assert task["ExportToS3Task"]["S3Key"] == f"vms/{task['ExportTaskId']}.ova"
    one = ("ec2", "describe-export-tasks", "--export-task-ids", task["ExportTaskId"])
    assert ended(kit, shell.aws, one, lambda answer: dict(answer["ExportTasks"][0]))["State"] == "completed"
    shell.aws("ec2", "cancel-export-task", "--export-task-id", task["ExportTaskId"], refused="IncorrectState")
    place = f"S3Bucket={EXPORTS},S3Prefix=exports/"
    export = ("export-image", "--image-id", image, "--disk-image-format", "VMDK", "--s3-export-location", place)
    started = shell.aws("ec2", *export, "--description", "My image export")
    assert started["Status"] == "active"
    one = ("ec2", "describe-export-image-tasks", "--export-image-task-ids", started["ExportImageTaskId"])
    assert ended(kit, shell.aws, one, lambda answer: dict(answer["ExportImageTasks"][0]))["Status"] == "completed"
    second = shell.aws("ec2", *export)["ExportImageTaskId"]
    shell.aws("ec2", "cancel-export-task", "--export-task-id", second)
    listed = shell.aws("s3api", "list-objects-v2", "--bucket", EXPORTS)["Contents"]
    keys = {item["Key"] for item in listed}
    assert task["ExportToS3Task"]["S3Key"] in keys
    assert f"exports/{started['ExportImageTaskId']}.vmdk" in keys
    shell.aws("ec2", "terminate-instances", "--instance-ids", instance)


def test_blocks_are_written_and_read_through_ebs_direct(shell: Shell, kit: Kit, tmp_path: Path) -> None:
    block, sums = os.urandom(1 << 19), "--checksum-algorithm"
    (tmp_path / "block").write_bytes(block)
    digest = base64.b64encode(hashlib.sha256(block).digest()).decode()
    ident = shell.aws("ebs", "start-snapshot", "--volume-size", "1")["SnapshotId"]
    put = ("put-snapshot-block", "--snapshot-id", ident, "--block-index", "3", "--data-length", str(len(block)))
    data = ("--block-data", f"{tmp_path}/block", sums, "SHA256", "--checksum")
    shell.aws("ebs", *put, *data, "A" * 43 + "=", refused="ValidationException")
    shell.aws("ebs", *put, *data, digest)
    shell.aws("ebs", "complete-snapshot", "--snapshot-id", ident, "--changed-blocks-count", "1")
    kit.sim.clock.advance(60)
    [found] = shell.aws("ebs", "list-snapshot-blocks", "--snapshot-id", ident)["Blocks"]
    read = ("get-snapshot-block", "--snapshot-id", ident, "--block-index", "3", "--block-token", found["BlockToken"])
    shell.run("aws", "ebs", *read, f"{tmp_path}/read")
    assert (tmp_path / "read").read_bytes() == block


def test_s3_as_the_aws_command_line_uses_it(shell: Shell, tmp_path: Path) -> None:
    data = os.urandom(17 * MIB + 5)
    source = tmp_path / "big name+%.bin"
    source.write_bytes(data)
    at = f"s3://{BUCKET}/cli"
    shell.run("aws", "s3", "cp", str(source), f"{at}/one/big name+%.bin")
    shell.run("aws", "s3", "cp", f"{at}/one/big name+%.bin", f"{at}/two/copy.bin")  # parts by UploadPartCopy
    shell.run("aws", "s3", "mv", f"{at}/two/copy.bin", f"{at}/two/moved.bin")
    shell.run("aws", "s3", "sync", f"{at}/", str(tmp_path / "down"))
    assert (tmp_path / "down/one/big name+%.bin").read_bytes() == data
    assert (tmp_path / "down/two/moved.bin").read_bytes() == data
    assert shell.run("aws", "s3", "cp", f"{at}/two/moved.bin", "-") == data
    keys = shell.aws("s3api", "list-objects", "--bucket", BUCKET, "--prefix", "cli/")["Contents"]
    assert [item["Key"] for item in keys] == ["cli/one/big name+%.bin", "cli/two/moved.bin"]
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"):
        put = ("put-object", "--bucket", BUCKET, "--key", f"cli/{algorithm}", "--body", str(tmp_path / "small"))
        (tmp_path / "small").write_bytes(algorithm.encode())
        answer = shell.aws("s3api", *put, "--checksum-algorithm", algorithm)
        assert answer[f"Checksum{algorithm}"]
    where = ("--bucket", BUCKET)
    shell.aws("s3api", "head-object", *where, "--key", "cli/none", refused="Not Found")
    shell.aws("s3api", "get-object-attributes", *where, "--key", "cli/SHA256", "--object-attributes", "ObjectSize")
    shell.aws("s3api", "list-object-versions", *where, "--prefix", "cli/")
    wrong = ("--expected-bucket-owner", "999999999999")
    shell.aws("s3api", "head-bucket", *where, *wrong, refused="Forbidden")
    shell.run("aws", "s3", "rm", "--recursive", f"{at}/")


def test_s3_as_s5cmd_uses_it(shell: Shell, tmp_path: Path) -> None:
    data = os.urandom(60 * MIB)  # more than one part of 50 MiB
    (tmp_path / "big").write_bytes(data)
    at = f"s3://{BUCKET}/s5"
    shell.run("s5cmd", "cp", str(tmp_path / "big"), f"{at}/big")
    shell.run("s5cmd", "cp", f"{at}/big", f"{at}/copy")
    listed = shell.run("s5cmd", "ls", f"{at}/")
    assert b"big" in listed and b"copy" in listed
    shell.run("s5cmd", "cp", f"{at}/*", f"{tmp_path}/down/")
    assert (tmp_path / "down/big").read_bytes() == data == (tmp_path / "down/copy").read_bytes()
    shell.run("s5cmd", "du", f"{at}/*")
    shell.run("s5cmd", "cat", f"{at}/none", refused="not found")
    shell.run("s5cmd", "rm", f"{at}/*")


OBSTORE = """
import obstore, os, sys
from obstore.store import S3Store
url, bucket = sys.argv[1:]
store = S3Store(bucket, endpoint=url, region=os.environ["AWS_REGION"], virtual_hosted_style_request=False,
                client_options={"allow_invalid_certificates": True})
data = os.urandom(11 << 20)
obstore.put(store, "ob/big", data, use_multipart=True, chunk_size=5 << 20)
assert bytes(obstore.get(store, "ob/big").bytes()) == data
assert bytes(obstore.get_range(store, "ob/big", start=7, end=1 << 20)) == data[7:1 << 20]
obstore.copy(store, "ob/big", "ob/copy")
obstore.rename(store, "ob/copy", "ob/moved")
found = sorted(item["path"] for page in obstore.list(store, "ob") for item in page)
assert found == ["ob/big", "ob/moved"], found
obstore.put(store, "ob/once", b"x", mode="create")
try:
    obstore.put(store, "ob/once", b"y", mode="create")
except obstore.exceptions.AlreadyExistsError:
    pass
else:
    raise AssertionError("written twice")
assert obstore.head(store, "ob/big")["size"] == len(data)
obstore.delete(store, ["ob/big", "ob/moved", "ob/once"])
try:
    obstore.head(store, "ob/big")
except FileNotFoundError:
    print("ok")
"""


def test_s3_as_obstore_uses_it(shell: Shell) -> None:
    """Written in Rust; it takes no authority of ours, so its look at the certificate is off."""
    assert shell.run("python", "-c", OBSTORE, shell.kit.sim.url, BUCKET).strip() == b"ok"
