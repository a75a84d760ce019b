"""What the simulated AWS refuses at once: credentials, roles, parameters, and calls it does not know."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from tests.kits.aws_clients import BUCKET, Kit, linux_disk, refused, running
from tests.kits.waiting import wait_until
from vmie_tui.model import facts
from vmie_tui.simulators.aws import roles
from vmie_tui.simulators.aws.wire import Throttle
from vmie_tui.simulators.control import TlsFiles


@pytest.fixture
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("calls"), max_tasks=2) as kit:
        yield kit


CALLS = {
    "s3": lambda client: client.list_buckets(),
    "ec2": lambda client: client.describe_images(),
    "iam": lambda client: client.list_roles(),
    "sts": lambda client: client.get_caller_identity(),
    "ebs": lambda client: client.list_snapshot_blocks(SnapshotId="snap-0123456789abcdef0"),
    "kms": lambda client: client.list_keys(),
}


@pytest.mark.parametrize(
    ("service", "unknown", "wrong", "expired"),
    [
        ("s3", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
        ("ec2", "AuthFailure", "AuthFailure", "RequestExpired"),
        ("iam", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"),
        ("sts", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"),
        ("ebs", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"),
        ("kms", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"),
    ],
)
def test_credentials_are_checked(kit: Kit, service: str, unknown: str, wrong: str, expired: str) -> None:
    call = CALLS[service]
    with refused(unknown):
        call(kit.client(service, aws_access_key_id="AKIAI44QH8DHBEXAMPLE"))
    with refused(wrong):
        call(kit.client(service, aws_secret_access_key="not the secret"))
    kit.control("POST", "faults", {"operation": "Auth", "action": "expired-token", "times": 1})
    with refused(expired):
        call(kit.client(service))


def test_a_wrong_clock_is_refused_and_can_be_seen(kit: Kit) -> None:
    kit.sim.keys.skew = 3600
    with refused("RequestTimeTooSkewed"):
        kit.client("s3").list_buckets()
    with refused("AccessDenied"):
        kit.client("s3", config=Config(signature_version=UNSIGNED)).list_buckets()


def test_keys_handed_out_later_work_until_they_end(kit: Kit) -> None:
    iam, sts = kit.client("iam"), kit.client("sts")
    iam.create_user(UserName="second")
    made = iam.create_access_key(UserName="second")["AccessKey"]
    own = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    assert kit.client("sts", **own).get_caller_identity()["Arn"].endswith(":user/second")
    role = "arn:aws:iam::111122223333:role/vmimport"
    given = sts.assume_role(RoleArn=role, RoleSessionName="session", DurationSeconds=900)["Credentials"]
    session = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    client = kit.client("s3", **session)
    client.list_buckets()
    with refused("InvalidAccessKeyId"):
        kit.client("s3", **{**session, "aws_session_token": "another"}).list_buckets()
    kit.sim.keys.skew = 901
    with refused("ExpiredToken"):
        client.list_buckets()


def test_a_presigned_url_is_served_and_its_signature_counts(kit: Kit) -> None:
    kit.put("signed.txt", b"hello")
    config = Config(signature_version="s3v4")
    params = {"Bucket": BUCKET, "Key": "signed.txt"}
    url = kit.client("s3", config=config).generate_presigned_url("get_object", Params=params)

    def fetch(url: str) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(kit.tls.ca))
        connection = http.client.HTTPSConnection("localhost", kit.sim.port, context=context, timeout=20)
        connection.request("GET", url.removeprefix(kit.sim.url))
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    assert fetch(url) == (200, b"hello")
    assert fetch(url.replace("signed.txt", "other.txt"))[0] == 403


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("ec2", lambda client: client.describe_host_reservations()),
        ("s3", lambda client: client.get_bucket_website(Bucket=BUCKET)),
        ("sqs", lambda client: client.list_queues()),
        ("kms", lambda client: client.describe_custom_key_stores()),
        ("cloudformation", lambda client: client.list_stacks()),
    ],
)
def test_what_is_not_simulated_says_so(kit: Kit, service: str, call: Any) -> None:
    with refused("UnsupportedOperation", "not simulated"):
        call(kit.client(service))


def test_the_admin_paths(kit: Kit) -> None:
    kit.client("s3").list_buckets()
    assert kit.control("GET", "stats")["requests"]["s3:ListBuckets"] == 1
    kit.control("POST", "rate", {"s3": 1_000_000})
    assert kit.sim.s3_rate == 1_000_000
    kit.control("POST", "rate", {"s3": None})
    assert kit.sim.s3_rate is None
    kit.control("POST", "clock", {"speed": 5})
    assert kit.sim.clock.speed == 5


def test_throttling_and_errors_on_request(kit: Kit) -> None:
    kit.control("POST", "faults", {"operation": "DescribeImages", "times": 1})
    with refused("RequestLimitExceeded"):
        kit.client("ec2").describe_images()
    kit.client("ec2").describe_images(Owners=["self"])


# VM import


def role_refused(kit: Kit) -> None:
    with refused("InvalidParameter", facts.error("E06")["message"]):
        kit.import_image("disk.vmdk")


def test_the_service_role_is_looked_at(kit: Kit) -> None:
    iam = kit.client("iam")
    trust, policy = json.loads(roles.trust_document()), json.loads(roles.role_document(BUCKET))

    def set_trust(document: dict[str, Any]) -> None:
        iam.update_assume_role_policy(RoleName="vmimport", PolicyDocument=json.dumps(document))

    def set_policy(document: dict[str, Any]) -> None:
        iam.put_role_policy(RoleName="vmimport", PolicyName="vmimport", PolicyDocument=json.dumps(document))

    without = json.loads(json.dumps(trust))
    del without["Statement"][0]["Condition"]
    set_trust(without)
    role_refused(kit)
    set_trust(json.loads(json.dumps(trust).replace("vmie.", "ec2.")))
    role_refused(kit)
    set_trust(json.loads(json.dumps(trust).replace("sts:Externalid", "sts:ExternalId")))
    kit.import_image("disk.vmdk")
    set_policy(json.loads(json.dumps(policy).replace(BUCKET, "another-bucket")))
    role_refused(kit)
    set_policy({**policy, "Statement": policy["Statement"][:2]})
    role_refused(kit)
    set_policy(policy)
    kit.put("sse.vmdk", b"x", ServerSideEncryption="aws:kms")
    with refused("InvalidParameter"):
        kit.import_image("sse.vmdk")
    iam.delete_role_policy(RoleName="vmimport", PolicyName="vmimport")
    iam.delete_role(RoleName="vmimport")
    role_refused(kit)
    with refused("InvalidParameter", "role other does not exist"):
        kit.import_image("disk.vmdk", RoleName="other")


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ({"LicenseType": "AWS", "UsageOperation": "RunInstances"}, "InvalidParameterCombination", "LicenseType"),
        ({"LicenseType": "Auto"}, "InvalidParameterValue", "LicenseType"),
        ({"UsageOperation": "RunInstances:9999"}, "InvalidParameterValue", "UsageOperation"),
        ({"Architecture": "arm64"}, "InvalidParameterValue", "Architecture"),
        ({"BootMode": "uefi-preferred"}, "InvalidParameterValue", "BootMode"),
        ({"KmsKeyId": "alias/aws/ebs"}, "InvalidParameterDependency", "Encrypted"),
        ({"Encrypted": True, "KmsKeyId": "no-such-key"}, "InvalidParameter", "KMS"),
        ({"DiskContainers": []}, "InvalidParameter", "DiskContainers"),
        ({"DryRun": True}, "DryRunOperation", ""),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_parameters_are_checked_at_once(kit: Kit, more: dict[str, Any], code: str, text: str) -> None:
    disk = {"Format": "VMDK", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.vmdk"}}
    with refused(code, text):
        kit.client("ec2").import_image(**{"DiskContainers": [disk], **more})


def test_sources_are_checked_at_once(kit: Kit) -> None:
    kit.client("s3", "us-east-1").create_bucket(Bucket="far-away-1")
    ec2 = kit.client("ec2")

    def start(count: int = 1, **disk: Any) -> None:
        good = {"Format": "VMDK", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.vmdk"}}
        ec2.import_image(DiskContainers=[{**good, **disk}] * count)

    with refused("InvalidParameter", facts.error("E14")["message"]):
        start(UserBucket={"S3Bucket": "far-away-1", "S3Key": "k"})
    with refused("InvalidParameter", facts.error("E13")["message"]):
        start(UserBucket={"S3Bucket": "never-made", "S3Key": "k"})
    with refused("InvalidParameter", facts.error("E01")["message"]):
        start(Format="QCOW2")
    with refused("InvalidParameter", facts.error("E01")["message"]):
        kit.import_snapshot("disk.ova", "OVA")
    with refused("InvalidParameter", "21"):
        start(count=22)


def test_tokens_limits_filters_and_cancelling(kit: Kit) -> None:
    ec2 = kit.client("ec2")
    kit.sim.clock.speed = 0.0
    kit.put("disk.vmdk", linux_disk(kit.folder)[1])
    first = kit.import_image("disk.vmdk", ClientToken="once")["ImportTaskId"]
    assert kit.import_image("disk.vmdk", ClientToken="once")["ImportTaskId"] == first
    with refused("IdempotentParameterMismatch"):
        kit.import_image("other.vmdk", ClientToken="once")
    second = kit.import_image("disk.vmdk")["ImportTaskId"]
    with refused("ResourceCountLimitExceeded"):
        kit.import_snapshot("disk.vmdk")
    page = ec2.describe_import_image_tasks(MaxResults=1)
    rest = ec2.describe_import_image_tasks(MaxResults=1, NextToken=page["NextToken"])
    assert [task["ImportTaskId"] for task in page["ImportImageTasks"] + rest["ImportImageTasks"]] == [first, second]
    answer = ec2.cancel_import_task(ImportTaskId=first, CancelReason="test")
    assert (answer["PreviousState"], answer["State"]) == ("active", "deleting")
    with refused("IncorrectState"):
        ec2.cancel_import_task(ImportTaskId=first)
    kit.sim.clock.advance(6)
    gone = kit.image_task(first)
    assert gone["Status"] == "deleted" and "Progress" not in gone
    assert gone["StatusMessage"] == "User initiated cancelation"
    filters = [{"Name": "task-state", "Values": ["active"]}]
    active = ec2.describe_import_image_tasks(Filters=filters)["ImportImageTasks"]
    assert [task["ImportTaskId"] for task in active] == [second]
    assert kit.ended(second)["Status"] == "completed"
    with refused("IncorrectState"):
        ec2.cancel_import_task(ImportTaskId=second)
    with refused("InvalidConversionTaskId.Malformed"):
        ec2.describe_import_image_tasks(ImportTaskIds=["import-ami-0"])
    kit.sim.clock.advance(8 * 86_400)
    assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []


def test_a_cancelled_import_leaves_no_snapshot(kit: Kit) -> None:
    kit.put("disk.vmdk", linux_disk(kit.folder)[1])
    ident = kit.import_image("disk.vmdk")["ImportTaskId"]
    kit.client("ec2").cancel_import_task(ImportTaskId=ident)
    assert kit.ended(ident)["Status"] == "deleted"
    wait_until(lambda: not any(thread.name == ident for thread in threading.enumerate()), what="end of its thread")
    assert kit.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert kit.sim.snapshots.all() == []


def test_a_rate_is_kept_by_waiting() -> None:
    now, waits = [100.0], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    throttle = Throttle(lambda: 1000.0, lambda: now[0], wait)
    for _ in range(5):
        throttle.spend(500)
    assert sum(waits) == pytest.approx(2.5)
    Throttle(lambda: None, lambda: now[0], wait).spend(1 << 40)
    assert len(waits) == 5


def test_the_certificate_is_verified(kit: Kit) -> None:
    client = boto3.client(
        "sts",
        region_name="eu-west-1",
        endpoint_url=kit.sim.url,
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        client.get_caller_identity()
