"""A simulated AWS for tests, with clients, disks and the steps most tests share."""

from __future__ import annotations

import hashlib
import io
import json
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.kits.waiting import wait_until
from vmie_tui.services.disks.formats.vmdk_write import encode
from vmie_tui.services.disks.streams.source import RawFile
from vmie_tui.simulators.aws import roles
from vmie_tui.simulators.aws.export_checks import canonical_id
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TOKEN_HEADER, TlsFiles
from vmie_tui.simulators.fleet.tiny import make_boot

MIB = 1 << 20
REGION, BUCKET = "eu-west-1", "sim-import-bucket"


@dataclass
class Kit:
    """The simulator and what a client needs to talk to it."""

    sim: AwsSimulator
    tls: TlsFiles
    folder: Path
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str, region: str = REGION, **more: Any) -> Any:
        values: dict[str, Any] = {
            "endpoint_url": self.sim.url,
            "verify": str(self.tls.ca),
            "aws_access_key_id": self.sim.access_key,
            "aws_secret_access_key": self.sim.secret_key,
            "config": Config(retries={"total_max_attempts": 1}),
        }
        if more:
            return boto3.client(service, region_name=region, **{**values, **more})
        if (service, region) not in self._clients:
            self._clients[service, region] = boto3.client(service, region_name=region, **values)
        return self._clients[service, region]

    def control(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One admin request."""
        url, data = f"{self.sim.url}/_sim/{name}", json.dumps(body or {}).encode()
        request = urllib.request.Request(url, data, {TOKEN_HEADER: self.sim.gate.token}, method=method)
        context = ssl.create_default_context(cafile=str(self.tls.ca))
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return dict(json.load(answer))

    def put(self, key: str, content: bytes, **more: Any) -> None:
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content, **more)

    def import_image(self, key: str, format: str = "VMDK", **more: Any) -> dict[str, Any]:
        disk = {"Format": format, "UserBucket": {"S3Bucket": BUCKET, "S3Key": key}}
        return dict(self.client("ec2").import_image(DiskContainers=[disk], **more))

    def import_snapshot(self, key: str, format: str = "VMDK", **more: Any) -> dict[str, Any]:
        disk = {"Format": format, "UserBucket": {"S3Bucket": BUCKET, "S3Key": key}}
        return dict(self.client("ec2").import_snapshot(DiskContainer=disk, **more))

    def image_task(self, ident: str) -> dict[str, Any]:
        return dict(self.client("ec2").describe_import_image_tasks(ImportTaskIds=[ident])["ImportImageTasks"][0])

    def ended(self, ident: str) -> dict[str, Any]:
        """The task once it is over, the clock pushed as far as it takes."""
        ec2 = self.client("ec2")

        def look() -> dict[str, Any] | None:
            self.sim.clock.advance(120)
            if ident.startswith("import-snap"):
                [found] = ec2.describe_import_snapshot_tasks(ImportTaskIds=[ident])["ImportSnapshotTasks"]
                task = found["SnapshotTaskDetail"]
            else:
                [task] = ec2.describe_import_image_tasks(ImportTaskIds=[ident])["ImportImageTasks"]
            return dict(task) if task["Status"] in {"completed", "deleted"} else None

        return wait_until(look, what=f"end of {ident}")

    def snapshot_bytes(self, ident: str, size: int) -> bytes:
        """The first ``size`` bytes of a snapshot, read through EBS direct."""
        ebs, content = self.client("ebs"), bytearray(size + 524_288)
        for block in ebs.list_snapshot_blocks(SnapshotId=ident)["Blocks"]:
            index = block["BlockIndex"]
            answer = ebs.get_snapshot_block(SnapshotId=ident, BlockIndex=index, BlockToken=block["BlockToken"])
            content[index * 524_288 : (index + 1) * 524_288] = answer["BlockData"].read()
        return bytes(content[:size])


@contextmanager
def running(tls: TlsFiles, folder: Path, **options: Any) -> Iterator[Kit]:
    with AwsSimulator(folder / "aws", tls=tls, **options) as sim:
        sim.seed(bucket=BUCKET)
        yield Kit(sim, tls, folder)


@contextmanager
def refused(code: str, text: str = "") -> Iterator[None]:
    """The block must fail with this AWS error code, its message holding ``text``."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert text in error["Message"], error


def linux_disk(folder: Path, capacity: int = 9 * MIB + 512, data: int = 6 * MIB) -> tuple[bytes, bytes]:
    """(raw content, the same as streamOptimized VMDK)."""
    path, out = folder / "disk.raw", io.BytesIO()
    make_boot(path, capacity, data, "sim disk")
    with RawFile(path) as source:
        encode(source, out.write)
    return path.read_bytes(), out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def bucket_for_exports(kit: Kit, name: str, region: str = REGION, *, grant: bool = True) -> None:
    """A bucket that exports may be written to; without ``grant`` all but that."""
    s3 = kit.client("s3", region)
    s3.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": region}, ObjectOwnership="ObjectWriter"
    )
    if grant:
        ident = f"id={canonical_id(region)}"
        s3.put_bucket_acl(Bucket=name, GrantReadACP=ident, GrantWrite=ident)


def roles_for(kit: Kit, *buckets: str) -> None:
    """The service role for all these buckets."""
    iam = kit.client("iam", "us-east-1")
    for bucket in buckets:
        iam.put_role_policy(RoleName="vmimport", PolicyName=bucket, PolicyDocument=roles.role_document(bucket))


def launch(kit: Kit, image: str) -> str:
    """A running instance of the AMI."""
    ec2 = kit.client("ec2")
    [found] = ec2.describe_images(ImageIds=[image])["Images"]
    mappings = [{**item, "Ebs": without(item["Ebs"], "Encrypted")} for item in found["BlockDeviceMappings"]]
    answer = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.medium", BlockDeviceMappings=mappings
    )
    ident = str(answer["Instances"][0]["InstanceId"])
    ec2.create_tags(Resources=[ident], Tags=[{"Key": "Name", "Value": "web 01"}])
    kit.sim.clock.advance(10)  # until it runs
    return ident


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
