"""A plan against what is known of the account: Region, bucket, encryption keys, tasks that run already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmie_tui.model import facts
from vmie_tui.model.errors import Problem
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.plan import ImportPlan
from vmie_tui.model.rules.routes import bucket_of, needs_role

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
BY_THE_JOB = "checked-by-the-job"  # `Finding.rule` of what a job looks at too, and will not start with


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of the AWS account that an import goes to; None for what was not, or may not be, looked at."""

    root: bool | None = None
    region_enabled: bool | None = None
    bucket_region: str | None = None  # where the bucket is; "" when there is none of its name
    bucket_key: str | None = None  # its default KMS key; "" for none
    upload_refused: tuple[str, str] | None = None  # what the bucket's policy does not let us upload, and what to do
    ebs_encryption: bool | None = None  # every new volume is encrypted, with `ebs_key`
    ebs_key: str | None = None
    key_state: str | None = None  # DescribeKey's word for the key that the plan names
    role_problems: tuple[Problem, ...] | None = None  # what keeps VM Import from using the service role
    role_kms: bool | None = None  # the role may do what the KMS statement says with the result's key
    role_decrypts: bool | None = None  # the role may read with the bucket's key
    active_tasks: int | None = None  # tasks that run in the Region
    skew: float | None = None  # seconds by which this machine's clock is ahead


def account_key(plan: ImportPlan) -> tuple[object, ...]:
    """Plans with the same key have the same account: one look is enough for all of them."""
    role = plan.role_name if needs_role(plan) else ""
    return (plan.region, bucket_of(plan), role, plan.encrypted, plan.kms_key_id or "", plan.route)


def result_key(plan: ImportPlan, account: Account) -> str:
    """The KMS key of one's own that the result will be encrypted with, as far as is known; "" for none."""
    named = (plan.kms_key_id or "") if plan.encrypted else ""
    key = named or ((account.ebs_key or "") if plan.encrypted or account.ebs_encryption else "")
    return "" if aws_managed(key) else key


def aws_managed(key: str) -> bool:
    """Whether the key is one of AWS's own (``alias/aws/…``), which every role may use."""
    return key.rpartition("alias/")[2].startswith("aws/")


def forceable(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that the user may push aside; the job itself looks at the others, and will not start."""
    return tuple(finding for finding in found if finding.rule != BY_THE_JOB)


def check_account(plan: ImportPlan, account: Account) -> tuple[Finding, ...]:
    """Findings worst first; what is not known about the account is not spoken of."""
    rules = (_identity, _bucket, _role, _keys, _tasks)
    found = [finding for rule in rules for finding in rule(plan, account)]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _role_error() -> str:
    return str(facts.error("E06")["message"])


def _identity(plan: ImportPlan, account: Account) -> Iterator[Finding]:
    if account.root:
        yield Finding(
            B,
            "the account's root user cannot import",
            "credentials",
            "AWS says of it that the role does not exist",
            _role_error(),
            "Sign in as an IAM user or role",
            "trap 34",
        )
    if account.region_enabled is False:
        yield Finding(
            B,
            f"the Region {plan.region} is not enabled in this account",
            "target",
            remedy="Enable it in the account settings, or choose another",
            fact="F090",
        )
    if account.skew is not None and abs(account.skew) > facts.trap("T32")["skew_max_seconds"]:
        yield Finding(
            B,
            f"this machine's clock is {abs(account.skew) / 60:.0f} minutes off",
            "clock",
            "AWS refuses requests signed at another time",
            remedy="Set the clock",
            fact="trap 32",
        )


def _bucket(plan: ImportPlan, account: Account) -> Iterator[Finding]:
    bucket, where = bucket_of(plan), account.bucket_region
    if where == "":
        yield Finding(
            B,
            "the bucket does not exist",
            bucket,
            remedy=f"Create it in {plan.region}, or correct its name",
            fact="F207",
            rule=BY_THE_JOB,
        )
    elif where is not None and plan.region and where != plan.region:
        yield Finding(
            B,
            f"the bucket is in {where}, the import in {plan.region}",
            bucket,
            "AWS reads images from buckets of the same Region only",
            str(facts.error("E14")["message"]),
            "Name a bucket of that Region, or import where the bucket is",
            "F207",
            BY_THE_JOB,
        )
    if account.upload_refused:
        what, remedy = account.upload_refused
        yield Finding(B, what, bucket, "The upload would be denied", "Access Denied", remedy)
    if account.bucket_key and not aws_managed(account.bucket_key) and account.role_decrypts is False:
        yield Finding(
            B,
            "the bucket encrypts with KMS, and the service role may not decrypt",
            bucket,
            "What is uploaded could not be read",
            _role_error(),
            f"Allow kms:Decrypt to {plan.role_name} for that key",
            "F172",
        )


def _role(plan: ImportPlan, account: Account) -> Iterator[Finding]:
    for problem in account.role_problems or ():
        yield Finding(B, problem.what, problem.subject, "", _role_error(), problem.remedy, fact="F161", rule=BY_THE_JOB)


def _keys(plan: ImportPlan, account: Account) -> Iterator[Finding]:
    if plan.encrypted and plan.kms_key_id and account.key_state not in {None, "Enabled"}:
        yield Finding(
            B,
            f"the KMS key is {account.key_state}",
            plan.kms_key_id,
            "It must be enabled until the task has ended",
            _role_error(),
            "Enable it, or name another",
            "F217",
        )
    if result_key(plan, account) and account.role_kms is False:
        yield Finding(
            B,
            "the service role has no permission for the key the result is encrypted with",
            plan.role_name,
            "EBS encryption is on by default in this Region" if account.ebs_encryption and not plan.encrypted else "",
            _role_error(),
            "Add the KMS statement to its policy",
            "F168",
        )
    if account.ebs_encryption and not plan.encrypted:
        yield Finding(
            I,
            "the result is encrypted in any case",
            plan.region,
            "EBS encryption is on by default in this Region",
            fact="F344",
        )


def _tasks(plan: ImportPlan, account: Account) -> Iterator[Finding]:
    limit = facts.limit("export", "concurrent_conversion_tasks_per_region_default")
    if account.active_tasks is not None and account.active_tasks >= limit["value"]:
        yield Finding(
            W,
            f"{account.active_tasks} tasks run in {plan.region}, {limit['value']} are usual",
            "account",
            f"AWS may refuse more; up to {limit['adjustable_to']} on request",
            remedy="Wait until one has ended",
            fact="F308",
        )
