"""The bucket: exists, in the Region, ours, private, with a lifecycle, and writable by the export service if needed."""

from __future__ import annotations

from typing import Any

from vmie_tui.model.doctor import Change, Check, Feature, Fix, Group
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.s3.bucket_policy import read_policy, upload_refusal
from vmie_tui.services.aws.s3.export_bucket import BucketChange, BucketReport, ChangeKind, ExportBuckets
from vmie_tui.services.aws.s3.objects import BAD_OWNER
from vmie_tui.services.doctor.check_context import Look, Patient, Skip

Json = dict[str, Any]
OLD_DEFAULT_REGION = "us-east-1"  # S3 wants no location for it
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
ALL_BLOCKED = dict.fromkeys(BLOCKS, True)
SSE_S3: Json = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
ABORT_DAYS = 7  # longer than any pause of a job; what is older was forgotten
RULE_ID = "vmie-tui-unfinished-uploads"


def _name(patient: Patient) -> str:
    if not patient.profile.aws.bucket:
        raise Skip("the profile names no bucket")
    return patient.profile.aws.bucket


def _exists(patient: Patient, look: Look) -> Check:
    if not patient.profile.aws.bucket:
        return look.failed(
            "the profile names no bucket", f"Set bucket in [profiles.{patient.profile.name}.aws], then look again"
        )
    bucket = _name(patient)
    patient.in_region()

    try:
        report = _report(patient)
    except ServiceError as error:
        if error.problem.code == BAD_OWNER:
            return look.failed(f"{bucket}: {error.problem.what}", error.problem.remedy)
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        where = f"the bucket {bucket} does not exist"
        return look.failed(where, f"Create it in {patient.region}, or correct its name", _create(patient, bucket))
    if report.bucket.owned is False and not patient.profile.aws.bucket_owner:
        return look.failed(f"{bucket} belongs to another account", "Use a bucket of this account")
    if report.bucket.region != patient.region:
        return look.failed(
            f"{bucket} is in {report.bucket.region}, the profile in {patient.region}",
            f"Use a bucket in {patient.region}, or another Region",
        )
    return look.ok(f"{bucket} in {report.bucket.region}")


def _report(patient: Patient) -> BucketReport:
    """The bucket as the exports see it; raises ServiceError NOT_FOUND."""
    wanted = Feature.EXPORT_INSTANCE in patient.features
    buckets = ExportBuckets(patient.in_region(), patient.region)
    return patient.once("bucket", lambda: buckets.look(_name(patient), instance=wanted))


def _there(patient: Patient) -> BucketReport:
    """As `_report`; Skip for an unusable bucket, which a check of its own reports."""
    try:
        report = _report(patient)
    except ServiceError as error:
        if error.kind is ErrorKind.NOT_FOUND:
            raise Skip("there is no bucket") from error
        if error.kind is ErrorKind.PERMISSION:
            raise Skip("this profile may not look at the bucket") from error
        raise
    if report.bucket.owned is False or report.bucket.region != patient.region:
        raise Skip("the bucket cannot be used")
    return report


def _create(patient: Patient, bucket: str) -> Fix:
    """Creates the bucket in the Region, encrypted with SSE-S3 and with public access blocked."""
    where: Json = {}
    if patient.region != OLD_DEFAULT_REGION:
        where = {"CreateBucketConfiguration": {"LocationConstraint": patient.region}}
    made = {"Bucket": bucket, **where}
    return Fix(
        "bucket.create",
        f"Create {bucket} in {patient.region}, encrypted and private",
        (
            Change("s3:CreateBucket", bucket, {}, {"Bucket": bucket, "Region": patient.region}, made),
            _change("s3:PutBucketEncryption", bucket, {}, SSE_S3, "ServerSideEncryptionConfiguration"),
            _change("s3:PutPublicAccessBlock", bucket, {}, ALL_BLOCKED, "PublicAccessBlockConfiguration"),
        ),
    )


def _change(operation: str, bucket: str, before: Json, after: Json, argument: str) -> Change:
    return Change(operation, bucket, before, after, {"Bucket": bucket, argument: after})


def _of_grants(change: BucketChange) -> Change:
    return Change(f"s3:{change.operation}", change.bucket, change.before, change.after, change.request)


def _encryption(patient: Patient, look: Look) -> Check:
    report = _there(patient)
    algorithm = report.bucket.encryption
    if algorithm is None:
        return look.skipped("this profile may not read it", "Grant s3:GetEncryptionConfiguration")
    changes = [change for change in report.changes if change.kind is ChangeKind.ENCRYPTION]
    if not changes:
        return look.ok({"AES256": "SSE-S3"}.get(algorithm, algorithm or "none"))
    fix = Fix("bucket.encryption", "Encrypt new objects with SSE-S3", tuple(map(_of_grants, changes)))
    words = f"new objects are encrypted with {algorithm}"
    if patient.features & {Feature.EXPORT_INSTANCE, Feature.EXPORT_IMAGE}:
        return look.failed(f"{words}, which exports refuse", "Encrypt the bucket with SSE-S3", fix)
    return look.warning(f"{words}: the service role needs the key for imports", "Or encrypt it with SSE-S3", fix)


def _policy(patient: Patient, look: Look) -> Check:
    """Whether the bucket's policy denies our uploads, or which headers they lack."""
    _there(patient)
    bucket, asked = _name(patient), patient.profile.aws
    policy = read_policy(patient.aws(), bucket, patient.region)
    if not policy:
        return look.ok("it has no policy")
    found = upload_refusal(policy, asked, bucket, asked.prefix, patient.region)
    if found is None:
        return look.ok("nothing in it is seen to deny our uploads")
    return look.failed(found.what, found.remedy)


def _public(patient: Patient, look: Look) -> Check:
    _there(patient)
    bucket, before = _name(patient), Json()
    try:
        with aws_call("look at the bucket's public access", bucket):
            answer = patient.aws().client("s3", patient.region).get_public_access_block(Bucket=bucket)
            before = {name: bool(answer["PublicAccessBlockConfiguration"].get(name)) for name in BLOCKS}
    except ServiceError as error:
        if error.problem.code != "NoSuchPublicAccessBlockConfiguration":
            raise
    missing = [name for name in BLOCKS if not before.get(name)]
    if not missing:
        return look.ok("blocked")
    change = _change("s3:PutPublicAccessBlock", bucket, before, ALL_BLOCKED, "PublicAccessBlockConfiguration")
    fix = Fix("bucket.public", "Block all public access", (change,))
    return look.warning(f"not blocked: {', '.join(missing)}", "Block all public access to the bucket", fix)


def _lifecycle(patient: Patient, look: Look) -> Check:
    _there(patient)
    bucket, rules, extra = _name(patient), [], Json()
    try:
        with aws_call("look at the bucket's lifecycle", bucket):
            answer = patient.aws().client("s3", patient.region).get_bucket_lifecycle_configuration(Bucket=bucket)
            rules = list(answer.get("Rules", ()))
            kept = "TransitionDefaultMinimumObjectSize"
            extra = {kept: answer[kept]} if kept in answer else {}
    except ServiceError as error:
        if error.problem.code != "NoSuchLifecycleConfiguration":
            raise
    prefix = patient.profile.aws.prefix
    for rule in rules:
        days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        if rule.get("Status") == "Enabled" and days and _covers(rule, prefix):
            return look.ok(f"unfinished uploads are removed after {days} days")
    ours = {
        "ID": RULE_ID,
        "Filter": {"Prefix": prefix},
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
    }
    after = {"Rules": [*(rule for rule in rules if rule.get("ID") != RULE_ID), ours]}
    request = {"Bucket": bucket, "LifecycleConfiguration": after, **extra}
    before = {"Rules": rules} if rules else {}
    change = Change("s3:PutBucketLifecycleConfiguration", bucket, before, after, request)
    fix = Fix("bucket.lifecycle", f"Remove what is left of uploads after {ABORT_DAYS} days", (change,))
    return look.warning(
        "what is left of uploads that never ended stays, and is paid for", "Add a lifecycle rule for it", fix
    )


def _versioning(patient: Patient, look: Look) -> Check:
    """With versioning, deleted uploads may still be billed."""
    _there(patient)
    bucket = _name(patient)
    with aws_call("look at the bucket's versioning", bucket):
        answer = patient.aws().client("s3", patient.region).get_bucket_versioning(Bucket=bucket)
    status = str(answer.get("Status", ""))
    if not status:
        return look.ok("off: what is deleted is gone")
    return look.warning(
        f"{status.lower()}: what is deleted may stay as an older version, and is paid for",
        "Allow s3:DeleteObjectVersion below the prefix, add a lifecycle rule that removes noncurrent versions, or use "
        "a bucket without versioning",
    )


def _covers(rule: Json, prefix: str) -> bool:
    """Whether the rule is for everything below ``prefix``."""
    chosen = rule.get("Filter", {"Prefix": rule.get("Prefix", "")})
    return not set(chosen) - {"Prefix"} and prefix.startswith(str(chosen.get("Prefix", "")))


def _export(patient: Patient, look: Look) -> Check:
    """The requirements of instance exports: ACLs enabled, and the grant to the Region's export service."""
    if Feature.EXPORT_INSTANCE not in patient.features:
        raise Skip("exports of instances were not asked about")
    report = _there(patient)
    wanted = [change for change in report.changes if change.kind is not ChangeKind.ENCRYPTION]
    if not wanted:
        if report.bucket.granted is None:
            return look.skipped("; ".join(report.notes) or "the grants could not be read")
        return look.ok("the export service of the Region may write")
    faults = {
        ChangeKind.OWNERSHIP: f"object ownership is {report.bucket.ownership}, so ACLs are off",
        ChangeKind.ACL: "the export service of the Region has no READ_ACP and WRITE",
    }
    fix = Fix(
        "bucket.export", "Let the export service of the Region write to the bucket", tuple(map(_of_grants, wanted))
    )
    reason = "; ".join(faults[change.kind] for change in wanted)
    return look.failed(reason, "Grant it, or use another bucket for exports", fix)


LOOKS = (
    Look("bucket.exists", Group.BUCKET, "Bucket", _exists, "F207"),
    Look("bucket.encryption", Group.BUCKET, "Encryption", _encryption, "F310"),
    Look("bucket.policy", Group.BUCKET, "The bucket's policy", _policy),
    Look("bucket.public", Group.BUCKET, "Public access", _public),
    Look("bucket.lifecycle", Group.BUCKET, "Leftovers of uploads", _lifecycle),
    Look("bucket.versioning", Group.BUCKET, "Versions of objects", _versioning),
    Look("bucket.export", Group.BUCKET, "Exports of instances", _export, "F275"),
)
