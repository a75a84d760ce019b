"""From an empty account to a working one; each single thing taken away again is named, and made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, REGION
from tests.kits.clinic import PREFIX, ROLE, Clinic, bad, clinic
from vmie_tui.model.doctor import USUAL_FEATURES, Check, CheckState, Feature, Group
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.services.aws.session import Identity
from vmie_tui.services.doctor.check_context import Patient
from vmie_tui.services.doctor.needs import NEEDS, needs_of
from vmie_tui.services.doctor.run import LOOKS, apply, examine, look_again
from vmie_tui.simulators.control import Fault, TlsFiles, make_tls


@pytest.fixture(scope="module")
def well(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """An account that doctor set up."""
    with clinic(tls, tmp_path_factory.mktemp("well")) as made:
        made.cure()
        yield made


@pytest.fixture
def patient(well: Clinic) -> Iterator[Clinic]:
    """The same, made whole again after the test."""
    yield well
    well.aws.limit(None)
    well.aws.faults.clear()
    well.aws.keys.skew = 0.0
    well.aws.disabled.clear()
    well.cure()


@pytest.fixture
def limited(well: Clinic) -> Iterator[Clinic]:
    """For tests that only limit what the user may do."""
    yield well
    well.aws.limit(None)


def test_an_empty_account_lacks_bucket_and_role_and_gets_them(
    tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with clinic(tls, tmp_path_factory.mktemp("empty")) as empty:
        report = empty.look()
        assert {check.id for check in report.failed} == {"bucket.exists", "role.exists"}
        assert report.worst is CheckState.FAILED and len(report.fixable) == 2
        empty.cure()
        after = empty.look()
        assert bad(after) == set() and after.worst is CheckState.OK, after.to_json()
        s3 = empty.client("s3")
        rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
        assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == REGION


def test_a_proxy_that_re_signs_names_the_setting_for_its_authority(well: Clinic, tmp_path: Path) -> None:
    settings = replace(well.patient.profile.aws, ca_bundle=make_tls(tmp_path / "other").ca)
    with Patient(replace(well.patient.profile, aws=settings), tmp_path) as proxied:
        failed = examine(proxied, [Group.AWS]).failed
    assert failed and {check.fact for check in failed} == {"F449"}
    assert all("ca_bundle" in check.remedy for check in failed)


def no_bucket(clinic: Clinic) -> None:
    clinic.client("s3").delete_bucket(Bucket=BUCKET)


def no_role(clinic: Clinic) -> None:
    iam = clinic.client("iam")
    for name in iam.list_role_policies(RoleName=ROLE)["PolicyNames"]:
        iam.delete_role_policy(RoleName=ROLE, PolicyName=name)
    iam.delete_role(RoleName=ROLE)


def other_service(clinic: Clinic) -> None:
    principal = {"Service": "ec2.amazonaws.com"}
    clinic.trust({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal})


def no_external_id(clinic: Clinic) -> None:
    principal = {"Service": "vmie.amazonaws.com"}
    clinic.trust({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal})


def other_account(clinic: Clinic) -> None:
    condition = {"StringEquals": {"sts:ExternalId": "vmimport", "aws:SourceAccount": "999999999999"}}
    principal = {"Service": "vmie.amazonaws.com"}
    clinic.trust({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, "Condition": condition})


def any_account(clinic: Clinic) -> None:
    condition = {"StringEquals": {"sts:ExternalId": "vmimport"}}
    principal = {"Service": "vmie.amazonaws.com"}
    clinic.trust({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, "Condition": condition})


def role_lacks(action: str) -> Callable[[Clinic], None]:
    return lambda clinic: clinic.without(action)


def no_policy(clinic: Clinic) -> None:
    clinic.client("iam").delete_role_policy(RoleName=ROLE, PolicyName=ROLE)


def own_key(clinic: Clinic) -> None:
    key = clinic.client("kms").create_key()["KeyMetadata"]["Arn"]
    ec2 = clinic.client("ec2")
    ec2.enable_ebs_encryption_by_default()
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)


def bucket_with_kms(clinic: Clinic) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    clinic.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})


def public(clinic: Clinic) -> None:
    clinic.client("s3").delete_public_access_block(Bucket=BUCKET)


def half_public(clinic: Clinic) -> None:
    names = ("BlockPublicAcls", "IgnorePublicAcls", "RestrictPublicBuckets")
    block = {**dict.fromkeys(names, True), "BlockPublicPolicy": False}
    clinic.client("s3").put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=block)


def no_lifecycle(clinic: Clinic) -> None:
    clinic.client("s3").delete_bucket_lifecycle(Bucket=BUCKET)


def no_lists(clinic: Clinic) -> None:
    rules = [{"ObjectOwnership": "BucketOwnerEnforced"}]
    clinic.client("s3").put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls={"Rules": rules})


def no_grant(clinic: Clinic) -> None:
    clinic.client("s3").put_bucket_acl(Bucket=BUCKET, ACL="private")


IMPORTS = ("s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket")
EXPORTS = ("s3:PutObject", "s3:GetBucketAcl")
IN_EC2 = ("ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*")
BOTH = frozenset({"role.import", "role.export"})
TAKEN: list[tuple[Callable[[Clinic], None], frozenset[str], str]] = [
    (no_bucket, frozenset({"bucket.exists"}), "does not exist"),
    (no_role, frozenset({"role.exists"}), "there is no role vmimport"),
    (other_service, frozenset({"role.trust"}), "does not trust vmie.amazonaws.com"),
    (no_external_id, frozenset({"role.trust", "role.deputy"}), "lacks the condition sts:Externalid = vmimport"),
    (other_account, frozenset({"role.trust"}), "names the account 999999999999, not 111122223333"),
    (any_account, frozenset({"role.deputy"}), "confused deputy"),
    (no_policy, BOTH, "may not do s3:GetBucketLocation, s3:GetObject, s3:ListBucket on arn:aws:s3:::" + BUCKET),
    *((role_lacks(action), BOTH, f"may not do {action}") for action in (*IMPORTS, *IN_EC2)),
    *((role_lacks(action), frozenset({"role.export"}), f"may not do {action}") for action in EXPORTS),
    (bucket_with_kms, frozenset({"bucket.encryption"}), "encrypted with aws:kms, which exports refuse"),
    (public, frozenset({"bucket.public"}), "not blocked: BlockPublicAcls, IgnorePublicAcls"),
    (half_public, frozenset({"bucket.public"}), "not blocked: BlockPublicPolicy"),
    (no_lifecycle, frozenset({"bucket.lifecycle"}), "stays, and is paid for"),
    (no_lists, frozenset({"bucket.export"}), "BucketOwnerEnforced"),
    (no_grant, frozenset({"bucket.export"}), "no READ_ACP and WRITE"),
]


@pytest.mark.parametrize(
    ("take", "named", "words"), TAKEN, ids=[f"{n}-{row[0].__name__}" for n, row in enumerate(TAKEN)]
)
def test_each_thing_taken_away_is_named_and_made_again(
    patient: Clinic, take: Callable[[Clinic], None], named: frozenset[str], words: str
) -> None:
    take(patient)
    report = patient.look(Group.BUCKET, Group.ROLE)
    assert bad(report) == named, report.to_json()
    found = [report.check(ident) for ident in sorted(named)]
    assert any(words in check.reason for check in found), found
    assert all(check.fix is not None and check.fix.changes and check.remedy for check in found)
    patient.cure()
    assert bad(patient.look(Group.BUCKET, Group.ROLE)) == set()


def test_a_bucket_that_keeps_versions_is_warned_of(patient: Clinic) -> None:
    assert patient.check("bucket.versioning").state is CheckState.OK
    s3 = patient.client("s3")
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})
        check = patient.check("bucket.versioning")
        assert check.state is CheckState.WARNING and "older version" in check.reason
    patient.aws.s3.store.set_config(BUCKET, "versioning", None)  # nobody else can take it back


def test_a_policy_that_denies_uploads_fails_and_names_the_setting(patient: Clinic) -> None:
    assert patient.check("bucket.policy").state is CheckState.OK
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
        "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    patient.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=policy)
    try:
        check = patient.check("bucket.policy")
        assert check.state is CheckState.FAILED
        assert 'encryption = "aws:kms"' in check.remedy
    finally:
        patient.client("s3").delete_bucket_policy(Bucket=BUCKET)


def test_a_key_of_ones_own_has_to_be_allowed(patient: Clinic) -> None:
    own_key(patient)
    try:
        check = patient.check("role.keys")
        assert check.state is CheckState.FAILED and "kms:CreateGrant" in check.reason
        before = policy_of(patient)
        apply(patient.patient, check)
        assert bad(patient.look(Group.BUCKET, Group.ROLE)) == set()
        after = policy_of(patient)
        assert after["Statement"][:-1] == before["Statement"], "what was there stays"
        assert after["Statement"][-1]["Resource"][0].startswith("arn:aws:kms:")
    finally:
        patient.client("ec2").disable_ebs_encryption_by_default()


def test_licence_configurations_are_offered_when_asked_about(patient: Clinic) -> None:
    assert patient.check("role.licences").state is CheckState.SKIPPED
    patient.patient.features = USUAL_FEATURES | {Feature.LICENCES}
    try:
        check = patient.check("role.licences")
        assert "license-manager:GetLicenseConfiguration" in check.reason
        assert apply(patient.patient, check).state is CheckState.OK
    finally:
        patient.patient.features = USUAL_FEATURES


def policy_of(clinic: Clinic) -> dict[str, list[dict[str, object]]]:
    answer = clinic.client("iam").get_role_policy(RoleName=ROLE, PolicyName=ROLE)["PolicyDocument"]
    return dict(answer)


def test_a_denied_action_is_not_offered_to_be_allowed(patient: Clinic) -> None:
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    patient.client("iam").put_role_policy(RoleName=ROLE, PolicyName="lock", PolicyDocument=text)
    try:
        check = patient.check("role.import")
        assert check.state is CheckState.FAILED and check.fix is None and "denies" in check.remedy
    finally:
        patient.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="lock")


def test_statements_and_rules_of_others_stay(patient: Clinic) -> None:
    iam, s3 = patient.client("iam"), patient.client("s3")
    theirs = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [theirs]})
    iam.put_role_policy(RoleName=ROLE, PolicyName=ROLE, PolicyDocument=text)
    lambdas = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    patient.trust(lambdas)
    rule = {"ID": "theirs", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})
    patient.cure()
    assert policy_of(patient)["Statement"][0] == theirs and len(policy_of(patient)["Statement"]) > 1
    assert iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]["Statement"][0] == lambdas
    assert s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"][0] == rule


def test_what_is_sent_is_what_was_shown(patient: Clinic) -> None:
    """The change in the fix is the request itself, and it is refused when the bucket is no longer as it was."""
    no_lifecycle(patient)
    check = patient.check("bucket.lifecycle")
    assert check.fix is not None
    [change] = check.fix.changes
    assert change.operation == "s3:PutBucketLifecycleConfiguration" and change.request["Bucket"] == BUCKET
    assert any(line.startswith("+") and PREFIX in line for line in change.diff)
    rule = {"ID": "theirs", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 3}}
    s3 = patient.client("s3")
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})
    with pytest.raises(ServiceError) as caught:
        apply(patient.patient, check)
    assert caught.value.kind is ErrorKind.CONFLICT
    assert s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == [rule]


def test_a_fix_is_seen_only_after_a_while(patient: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made may not show at once: it is looked at until it does."""
    from vmie_tui.services.doctor import run

    public(patient)
    check = patient.check("bucket.public")
    looks = []
    real = run.look_again

    def late(seen: Patient, each: Check) -> Check:
        looks.append(each.id)
        return check if 1 < len(looks) < 4 else real(seen, each)

    monkeypatch.setattr(run, "look_again", late)
    monkeypatch.setattr(run, "SETTLE_PAUSE", 0.01)
    assert apply(patient.patient, check).state is CheckState.OK and len(looks) == 4
    public(patient)
    monkeypatch.setattr(run, "look_again", lambda seen, each: check)
    monkeypatch.setattr(run, "SETTLE_SECONDS", 0.0)
    with pytest.raises(ServiceError, match="does not show the change yet"):
        apply(patient.patient, check)


def test_a_new_role_is_not_found_everywhere_at_once(patient: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmie_tui.services.doctor import run

    monkeypatch.setattr(run, "SETTLE_PAUSE", 0.01)
    no_role(patient)
    absent = {"action": "error", "code": "NoSuchEntity", "message": "The role cannot be found.", "status": 404}
    patient.aws.faults.add(Fault("PutRolePolicy", times=2, **absent))  # type: ignore[arg-type]
    assert apply(patient.patient, patient.check("role.exists")).state is CheckState.OK
    assert policy_of(patient)["Statement"]
    no_role(patient)
    monkeypatch.setattr(run, "SETTLE_SECONDS", 0.0)
    patient.aws.faults.add(Fault("PutRolePolicy", times=None, **absent))  # type: ignore[arg-type]
    with pytest.raises(ServiceError) as caught:
        apply(patient.patient, patient.check("role.exists"))
    assert caught.value.kind is ErrorKind.NOT_FOUND and "iam:PutRolePolicy" in str(caught.value)
    patient.aws.faults.clear()
    assert bad(patient.look(Group.ROLE)) == {"role.import", "role.export"}, "what was made of it is seen"


def test_a_read_only_profile_refuses_fixes(patient: Clinic) -> None:
    public(patient)
    kept = patient.patient
    with Patient(replace(kept.profile, read_only=True), kept.state_dir) as careful:
        check = next(one for one in examine(careful, [Group.BUCKET]).checks if one.id == "bucket.public")
        assert check.fix is not None
        with pytest.raises(ServiceError) as caught:
            apply(careful, check)
    assert caught.value.kind is ErrorKind.REFUSED
    assert patient.check("bucket.public").state is CheckState.WARNING


@pytest.mark.parametrize(
    "action", sorted({need.action for need in needs_of(USUAL_FEATURES)} - {"iam:SimulatePrincipalPolicy"})
)
def test_each_permission_taken_away_is_named(limited: Clinic, action: str) -> None:
    limited.limit(less=frozenset({action}))
    report = limited.look(Group.PERMISSIONS)
    wanting = {
        f"permissions.{feature.value}" for feature, needs in NEEDS.items() if action in {n.action for n in needs}
    }
    wanting -= {"permissions.licences"}
    wanting = {"pass-role"} if action == "iam:PassRole" else wanting
    assert {check.id for check in report.failed} == wanting
    assert all(check.reason == f"missing: {action}" and "--print-policy" in check.remedy for check in report.failed)


def test_the_printed_policy_is_enough_for_everything(limited: Clinic) -> None:
    limited.limit()
    report = limited.look()
    assert bad(report) == set(), report.to_json()


def test_without_the_simulation_calls_that_change_nothing_tell(patient: Clinic) -> None:
    patient.limit(less=frozenset({"iam:SimulatePrincipalPolicy"}))
    report = patient.look(Group.PERMISSIONS)
    assert not report.failed, report.to_json()
    assert "not asked: " in report.check("permissions.import").reason
    assert "s3:PutObject" in report.check("permissions.import").reason
    less = {"iam:SimulatePrincipalPolicy", "ec2:ImportImage", "ec2:DescribeExportTasks", "s3:ListBucket"}
    patient.limit(less=frozenset(less))
    report = patient.look(Group.PERMISSIONS)
    reason = report.check("permissions.import").reason
    assert reason.startswith("missing: s3:ListBucket, ec2:ImportImage;"), reason
    assert "ec2:DescribeExportTasks" in report.check("permissions.tasks").reason
    assert report.check("pass-role").state is CheckState.SKIPPED


def test_asking_changes_nothing(patient: Clinic) -> None:
    patient.limit(less=frozenset({"iam:SimulatePrincipalPolicy"}))
    patient.aws.stats.reset()
    patient.look()
    patient.aws.limit(None)
    sent = {name.partition(":")[2] for name in patient.aws.stats.snapshot()}
    assert "ImportImage" in sent, "asked by DryRun"
    ec2 = patient.client("ec2")
    assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert [g["GroupName"] for g in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]


def test_the_root_user_is_refused(patient: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Identity(patient.aws.account, f"arn:aws:iam::{patient.aws.account}:root", "1")
    monkeypatch.setattr(type(patient.patient), "identity", lambda self: root)
    check = patient.check("aws.identity")
    assert check.state is CheckState.FAILED and "root" in check.reason


def test_a_region_that_is_not_enabled(patient: Clinic) -> None:
    patient.aws.disabled.add(REGION)
    report = patient.look()
    assert {check.id for check in report.failed} == {"region.enabled", "region.sts"}
    assert report.check("aws.identity").state is CheckState.OK
    assert "does not let this account in" in report.check("bucket.exists").reason


@pytest.mark.parametrize(("skew", "state"), [(-400, CheckState.WARNING), (0, CheckState.OK), (500, CheckState.WARNING)])
def test_the_clock(patient: Clinic, skew: int, state: CheckState) -> None:
    patient.aws.keys.skew = skew
    check = patient.check("aws.clock")
    assert check.state is state and (state is CheckState.OK or "15 minutes" in check.reason)


def test_wrong_keys_and_none(patient: Clinic, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = patient.patient.profile
    folder = tmp_path_factory.mktemp("keys")
    wrong = folder / "credentials"
    wrong.write_text("[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = x\n")
    for path, failed in ((wrong, {"aws.identity"}), (folder / "none", {"aws.credentials"})):
        aws = replace(kept.aws, credentials_file=path)
        with Patient(replace(kept, aws=aws), folder) as stranger:
            report = examine(stranger, [Group.AWS, Group.BUCKET, Group.ROLE, Group.PERMISSIONS, Group.REGION])
        assert {check.id for check in report.failed} - {"aws.clock"} == failed, report.to_json()


def test_a_bucket_elsewhere_and_none_at_all(patient: Clinic) -> None:
    kept = patient.patient.profile
    patient.aws.s3.make_bucket("amzn-s3-demo-other", "us-east-1")
    for bucket, words in (("amzn-s3-demo-other", "is in us-east-1, the profile in eu-west-1"), ("", "names no bucket")):
        with Patient(replace(kept, aws=replace(kept.aws, bucket=bucket)), patient.patient.state_dir) as other:
            check = examine(other, [Group.BUCKET]).check("bucket.exists")
        assert check.state is CheckState.FAILED and words in check.reason and check.fix is None


def test_checks_come_as_they_are_made_and_stop_when_told(well: Clinic) -> None:
    seen: list[Check] = []
    report = examine(well.patient, [Group.AWS, Group.ROLE], on_check=seen.append)
    assert sorted(check.id for check in seen) == sorted(check.id for check in report.checks)
    assert [check.group for check in report.checks] == sorted((c.group for c in report.checks), key=list(Group).index)
    with pytest.raises(Cancelled):
        examine(well.patient, cancelled=lambda: True)


def test_ids_are_one_of_a_kind() -> None:
    ids = [look.id for look in LOOKS]
    assert len(ids) == len(set(ids))
    assert not [(a, b) for a in ids for b in ids if a != b and a.startswith(f"{b}.")]


def test_what_somebody_else_fixed_is_no_fix_anymore(patient: Clinic) -> None:
    public(patient)
    check = patient.check("bucket.public")
    apply(patient.patient, check)
    assert look_again(patient.patient, check).fix is None


def test_the_tasks_that_run_count_against_the_quota(patient: Clinic) -> None:
    check = patient.check("region.tasks")
    assert check.state is CheckState.OK and check.reason.startswith("0 running; 5 at once")
    lists = {"ec2:DescribeExportTasks", "ec2:DescribeExportImageTasks"}
    patient.limit(less=frozenset(lists))
    assert patient.check("region.tasks").reason.endswith("not counted: ExportImageTasks, ExportTasks")
    patient.limit(frozenset({Feature.LAUNCH}))
    assert patient.check("region.tasks").state is CheckState.SKIPPED
