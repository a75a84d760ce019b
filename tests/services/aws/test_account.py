"""What is found out of the account before an import: by few calls, each of which may be refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.kits.aws_world import BUCKET, REGION
from tests.kits.clinic import PREFIX, ROLE, Clinic, clinic
from vmie_tui.model.doctor import USUAL_FEATURES, Feature
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ImportPlan, ObjectSource, Route, SnapshotSource, Via, VmSource
from vmie_tui.model.rules.account import Account, check_account
from vmie_tui.services.aws.account import look_at_account
from vmie_tui.services.aws.s3.bucket_policy import upload_refusal
from vmie_tui.services.aws.s3.export_bucket import ExportBuckets, canonical_id
from vmie_tui.services.aws.session import Aws, Identity, open_session
from vmie_tui.services.doctor import documents, policies
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.control import Fault, TlsFiles

PLAN = ImportPlan("ward", VmSource("vc", "vm-1", "web-01"), REGION, BUCKET, prefix=PREFIX, role_name=ROLE)
DIRECT = replace(PLAN, route=Route.IMAGE_DIRECT)
OWN = replace(PLAN, route=Route.UNMODIFIED, via=Via.EBS)
MINE = replace(PLAN, encrypted=True)


@pytest.fixture(scope="module")
def ready(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """An account that doctor set up."""
    with clinic(tls, tmp_path_factory.mktemp("account")) as made:
        made.cure()
        yield made


@pytest.fixture
def account(ready: Clinic) -> Iterator[Clinic]:
    """The same, as it was after each test."""
    yield ready
    ready.aws.limit(None)
    ready.aws.faults.clear()
    ready.aws.keys.skew = 0.0
    ready.aws.disabled.clear()
    ready.client("ec2").disable_ebs_encryption_by_default()
    ready.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=encryption("AES256"))
    ready.without()


def encryption(algorithm: str, **key: str) -> dict[str, Any]:
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm, **key}}]}


def own_key(clinic: Clinic) -> str:
    return str(clinic.client("kms").create_key()["KeyMetadata"]["Arn"])


def facts_of(clinic: Clinic, plan: ImportPlan = PLAN) -> list[str]:
    """The facts of what is found in the way."""
    return [finding.fact for finding in check_account(plan, look_at_account(clinic.admin, plan))]


def asked(clinic: Clinic) -> dict[str, int]:
    return clinic.aws.stats.snapshot()


def test_an_account_in_order(account: Clinic) -> None:
    seen = look_at_account(account.admin, PLAN)
    assert seen.skew is not None and abs(seen.skew) < 5
    assert replace(seen, skew=None) == Account(
        root=False,
        region_enabled=True,
        bucket_region=REGION,
        bucket_key="",
        ebs_encryption=False,
        ebs_key="",
        role_problems=(),
        active_tasks=0,
    )
    assert check_account(PLAN, seen) == ()


@pytest.mark.parametrize(
    ("plan", "feature"),
    [(PLAN, Feature.IMPORT), (MINE, Feature.IMPORT), (DIRECT, Feature.IMPORT), (OWN, Feature.DIRECT)],
)
def test_the_printed_policy_allows_every_call(account: Clinic, plan: ImportPlan, feature: Feature) -> None:
    account.limit(frozenset({feature}))
    before = asked(account)
    seen = look_at_account(account.admin, plan)
    after = asked(account)
    assert {call for call in after if call.startswith("denied:") and after[call] != before.get(call)} == set()
    assert sum(after.values()) - sum(before.values()) <= 13, "few calls"
    assert None not in (seen.region_enabled, seen.ebs_encryption)
    assert plan is OWN or None not in (seen.role_problems, seen.active_tasks)


def test_what_may_not_be_looked_at_is_not_known_and_not_spoken_of(account: Clinic) -> None:
    nothing = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    account.aws.limit({"Version": "2012-10-17", "Statement": [nothing]})
    seen = look_at_account(account.admin, replace(MINE, kms_key_id="alias/mine"))
    assert replace(seen, skew=None) == Account(root=False, role_problems=())
    assert check_account(PLAN, seen) == ()


@pytest.mark.parametrize(
    ("less", "unknown"),
    [
        ("ec2:DescribeRegions", {"region_enabled"}),
        ("s3:GetEncryptionConfiguration", {"bucket_key"}),
        ("ec2:GetEbsEncryptionByDefault", {"ebs_encryption", "ebs_key"}),
        ("ec2:DescribeImportImageTasks", set()),
    ],
)
def test_each_look_by_itself(account: Clinic, less: str, unknown: set[str]) -> None:
    whole = look_at_account(account.admin, PLAN)
    account.limit(less=frozenset({less}))
    seen = look_at_account(account.admin, PLAN)
    changed = {name for name in Account.__slots__ if getattr(seen, name) != getattr(whole, name)} - {"skew"}
    assert changed == unknown and all(getattr(seen, name) is None for name in unknown)


def test_the_root_user(account: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Identity(account.aws.account, f"arn:aws:iam::{account.aws.account}:root", "1")
    monkeypatch.setattr(Aws, "identity", lambda self, region=None: root)
    assert facts_of(account) == ["trap 34"]


def test_a_region_that_is_not_enabled(account: Clinic) -> None:
    account.aws.disabled.add(REGION)
    seen = look_at_account(account.admin, PLAN)
    assert seen.region_enabled is False and seen.bucket_region is None
    assert facts_of(account) == ["F090"]


@pytest.mark.parametrize(("skew", "expected"), [(2000, ["trap 32"]), (-2000, ["trap 32"]), (300, [])])
def test_a_clock_that_is_off_is_the_reason_why_aws_refuses(account: Clinic, skew: int, expected: list[str]) -> None:
    account.aws.keys.skew = skew
    assert facts_of(account) == expected


def test_buckets_elsewhere_and_nowhere(account: Clinic) -> None:
    account.aws.s3.make_bucket("amzn-s3-demo-far", "us-east-1")
    [finding] = check_account(far := replace(PLAN, bucket="amzn-s3-demo-far"), look_at_account(account.admin, far))[:1]
    assert finding.what == f"the bucket is in us-east-1, the import in {REGION}"
    gone = replace(PLAN, bucket="amzn-s3-demo-nowhere")
    assert "the bucket does not exist" in [f.what for f in check_account(gone, look_at_account(account.admin, gone))]
    lying = replace(PLAN, source=ObjectSource("s3://x", "amzn-s3-demo-far", ("web.vmdk",)))
    assert look_at_account(account.admin, lying).bucket_region == "us-east-1", "AWS reads it where it lies"
    assert look_at_account(account.admin, replace(gone, route=Route.IMAGE_DIRECT)).bucket_region is None


def test_the_role_is_judged_for_what_the_route_wants_of_it(account: Clinic) -> None:
    account.without("s3:GetObject")
    assert facts_of(account) == ["F161"]
    assert facts_of(account, DIRECT) == [], "AWS reads snapshots"
    assert look_at_account(account.admin, OWN).role_problems is None, "no import task, no role"
    given = replace(PLAN, source=SnapshotSource("snap-1", ("snap-1",)))
    assert facts_of(account, given) == []
    assert facts_of(account, replace(PLAN, role_name="nobody")) == ["F161"]


def test_keys_of_ones_own_and_what_the_role_may_do_with_them(account: Clinic) -> None:
    key = own_key(account)
    ec2, s3, iam = account.client("ec2"), account.client("s3"), account.client("iam")
    ec2.enable_ebs_encryption_by_default()
    assert facts_of(account) == ["F344"], "AWS's own key"
    named = replace(MINE, kms_key_id=key)
    assert facts_of(account, named) == ["F168"]
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=encryption("aws:kms", KMSMasterKeyID=key))
    assert facts_of(account) == ["F172", "F344"]
    policy = policies.role_policies(account.place, USUAL_FEATURES)["permissions"]
    policy["Statement"].append(documents.kms([key]))
    iam.put_role_policy(RoleName=ROLE, PolicyName=ROLE, PolicyDocument=json.dumps(policy))
    assert facts_of(account) == ["F344"]
    assert facts_of(account, named) == []
    account.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    assert facts_of(account, named) == ["F217"]


def test_a_key_known_by_its_alias_alone_is_not_spoken_of(account: Clinic) -> None:
    account.limit()
    seen = look_at_account(account.admin, replace(MINE, kms_key_id="alias/mine"))
    assert (seen.key_state, seen.role_kms) == (None, None)


def test_tasks_that_run_are_counted(account: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = account.client("ec2")
    running = {"ImportImageTasks": [{"ImportTaskId": f"import-ami-{n}", "Status": "active"} for n in range(5)]}
    monkeypatch.setattr(ec2, "describe_import_image_tasks", lambda **_: running)
    assert facts_of(account) == ["F308"]
    legacy = replace(PLAN, route=Route.INSTANCE)
    assert look_at_account(account.admin, legacy).active_tasks == 0


def test_without_aws_it_says_why(account: Clinic, tmp_path: Path) -> None:
    account.aws.faults.add(Fault("GetCallerIdentity", code="ExpiredToken", status=403))
    with pytest.raises(ServiceError) as refused:
        look_at_account(account.admin, PLAN)
    assert refused.value.kind is ErrorKind.LOGIN
    settings = replace(account.patient.profile.aws, endpoint_url="https://localhost:1")
    lost = open_session(settings)
    with pytest.raises(ServiceError) as refused:
        look_at_account(lost, PLAN)
    assert refused.value.kind is ErrorKind.NETWORK


DEMANDS = {
    "AES256 or denied": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}},
    "a KMS key": {"StringNotEquals": {"s3:x-amz-server-side-encryption": ["aws:kms", "aws:kms:dsse"]}},
    "any header": {"Null": {"s3:x-amz-server-side-encryption": "true"}},
    "any header, as bool": {"Null": {"s3:x-amz-server-side-encryption": True}},
    "one key": {
        "StringNotLikeIfExists": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:*:key/one"},
        "StringEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
    },
}


@pytest.mark.parametrize(
    ("demand", "encryption", "key", "denied"),
    [
        ("AES256 or denied", "", "", True),
        ("AES256 or denied", "aws:kms", "", True),
        ("AES256 or denied", "AES256", "", False),
        ("a KMS key", "", "", True),
        ("a KMS key", "aws:kms", "", False),
        ("any header", "", "", True),
        ("any header", "AES256", "", False),
        ("any header, as bool", "", "", True),
        ("one key", "aws:kms", "arn:aws:kms:eu-west-1:111122223333:key/two", True),
        ("one key", "aws:kms", "arn:aws:kms:eu-west-1:111122223333:key/one", False),
        ("one key", "", "", False),
    ],
)
def test_a_policy_that_demands_encryption_is_seen_before_the_upload(
    account: Clinic, demand: str, encryption: str, key: str, denied: bool
) -> None:
    """What is said beforehand, and what the upload then meets, are the same."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    policy = {"Version": "2012-10-17", "Statement": [{**deny, "Condition": DEMANDS[demand]}]}
    account.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    asked = open_session(replace(account.admin.settings, encryption=encryption, kms_key_id=key))
    try:
        seen = look_at_account(asked, PLAN)
        assert bool(seen.upload_refused) is denied
        found = [finding for finding in check_account(PLAN, seen) if "[aws]" in finding.remedy]
        assert bool(found) is denied
        s3 = asked.client("s3")
        if denied:
            assert "encryption" in found[0].what
            with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
                s3.create_multipart_upload(Bucket=BUCKET, Key=f"{PLAN.prefix}x")
        else:
            s3.put_object(Bucket=BUCKET, Key=f"{PLAN.prefix}x", Body=b"x")
            head = s3.head_object(Bucket=BUCKET, Key=f"{PLAN.prefix}x")
            assert not encryption or head["ServerSideEncryption"] == encryption
            assert not key or head["SSEKMSKeyId"] == key
    finally:
        asked.close()
        account.client("s3").delete_bucket_policy(Bucket=BUCKET)


SSE, SSE_KEY = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
KEY_ONE = "arn:aws:kms:eu-west-1:111122223333:key/one"


@pytest.mark.parametrize(
    ("conditions", "encryption", "said"),
    [
        ([{"StringNotLike": {SSE: "aws:kms*"}}], "", 'encryption = "aws:kms" in'),
        ([{"StringNotEquals": {SSE: "aws:kms:dsse"}}], "aws:kms", 'encryption = "aws:kms:dsse" in'),
        ([{"ForAllValues:StringNotEquals": {SSE: ["aws:kms"]}}], "AES256", 'encryption = "aws:kms" in'),
        ([{"Null": {SSE: "true"}}, {"StringEquals": {SSE: "AES256"}}], "", 'encryption = "aws:kms" in'),
        ([{"StringEquals": {SSE: "AES256"}}], "AES256", 'encryption = "aws:kms" in'),
        ([{"Null": {SSE: "false"}}], "AES256", "Leave encryption and kms_key_id out"),
        ([{"StringNotEquals": {SSE_KEY: KEY_ONE}}], "aws:kms", f'encryption = "aws:kms" and kms_key_id = "{KEY_ONE}"'),
        ([{"StringNotLikeIfExists": {SSE_KEY: "*:key/one"}}], "", "the ARN of a key that is like *:key/one"),
        ([{"StringNotEquals": {SSE: "AES256"}}, {"StringNotEquals": {SSE: "aws:kms"}}], "", "Choose another bucket"),
    ],
)
def test_the_remedy_for_a_demanding_policy_is_one_that_the_whole_policy_lets_through(
    conditions: list[dict[str, Any]], encryption: str, said: str
) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*"}
    policy = {"Statement": [{**deny, "Condition": condition} for condition in conditions]}
    found = upload_refusal(policy, AwsSettings(encryption=encryption), "b", "vmie/", "eu-west-1")
    assert found is not None and said in found.remedy


def test_a_bucket_of_another_owner_is_refused_before_the_upload(account: Clinic) -> None:
    foreign = open_session(replace(account.admin.settings, bucket_owner="999988887777"))
    try:
        (found,) = (item for item in check_account(PLAN, look_at_account(foreign, PLAN)) if item.subject == BUCKET)
    finally:
        foreign.close()
    assert "does not belong to account 999988887777" in found.what
    assert "bucket_owner" in found.remedy


def test_the_buckets_default_key_is_nothing_to_uploads_that_name_an_encryption(account: Clinic) -> None:
    own = open_session(replace(account.admin.settings, encryption="aws:kms"))
    try:
        assert look_at_account(own, PLAN).bucket_key == ""
    finally:
        own.close()


def test_what_a_policy_says_of_others_is_left_to_aws(account: Clinic) -> None:
    deny = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    others: list[dict[str, Any]] = [
        {**deny, "Principal": {"AWS": "arn:aws:iam::999999999999:root"}},
        {**deny, "Principal": "*", "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}},
        {**deny, "Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {**deny, "Principal": "*", "Resource": f"arn:aws:s3:::{BUCKET}/elsewhere/*"},
        {**deny, "Principal": {"CanonicalUser": "x"}},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": others})
    account.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=policy)
    try:
        assert look_at_account(account.admin, PLAN).upload_refused is None
    finally:
        account.client("s3").delete_bucket_policy(Bucket=BUCKET)


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("eusc-de-east-1", "aws-eusc")],
)
def test_policies_name_the_partition_of_the_region(region: str, partition: str) -> None:
    statement = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "Sid": "Locked"}
    policy = {"Statement": [{**statement, "Resource": f"arn:{partition}:s3:::b/*"}]}
    found = upload_refusal(policy, AwsSettings(), "b", "vmie/", region)
    assert found is not None and "(Locked)" in found.what
    who = canonical_id(region)[0]
    grant = {"Effect": "Allow", "Principal": {"CanonicalUser": who}, "Action": ["s3:GetBucketAcl", "s3:PutObject"]}
    arn = f"arn:{partition}:s3:::b"
    answer = {"Policy": json.dumps({"Statement": [{**grant, "Resource": [arn, f"{arn}/*"]}]})}
    client = SimpleNamespace(get_bucket_policy=lambda **_: answer)
    buckets = ExportBuckets(SimpleNamespace(region=region, client=lambda *_: client))  # type: ignore[arg-type]
    assert buckets._policy_allows("b", who, []) is True
