"""A plan against what is known of the account: Region, bucket, encryption keys, tasks that run already."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.account import Account
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.plan import ImportPlan

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
_OWN_KEYS = ("alias/aws/", "aws/")


def check_account(plan: ImportPlan, account: Account) -> tuple[Finding, ...]:
    """Findings worst first; what is not known about the account is not spoken of."""
    found = [*_identity(plan, account), *_bucket(plan, account), *_keys(plan, account), *_tasks(plan, account)]
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
    if account.bucket_region is not None and plan.region and account.bucket_region != plan.region:
        yield Finding(
            B,
            f"the bucket is in {account.bucket_region}, the import in {plan.region}",
            plan.bucket,
            "AWS reads images from buckets of the same Region only",
            str(facts.error("E14")["message"]),
            "Name a bucket of that Region, or import where the bucket is",
            "F207",
        )
    if account.bucket_key and account.role_kms is False:
        yield Finding(
            B,
            "the bucket encrypts with KMS, and the service role may not decrypt",
            plan.bucket,
            "What is uploaded could not be read",
            _role_error(),
            f"Allow kms:Decrypt to {plan.role_name} for that key",
            "F172",
        )


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
    own = plan.kms_key_id if plan.encrypted else ""
    if not own and account.ebs_encryption:
        own = account.ebs_key or ""
    if own and not _aws_managed(own) and account.role_kms is False:
        yield Finding(
            B,
            "the service role has no permission for the key the result is encrypted with",
            plan.role_name,
            "EBS encryption is on by default in this Region" if account.ebs_encryption else "",
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


def _aws_managed(key: str) -> bool:
    return key.rpartition("alias/")[2].startswith("aws/") or key.startswith(_OWN_KEYS)


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
