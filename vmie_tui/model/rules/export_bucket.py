"""The bucket of an export: in the Region, of the account, without KMS, and open to the export service."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.exportable import ExportBucket
from vmie_tui.model.finding import Finding, Severity


def _blocker(what: str, subject: str, remedy: str, fact: str, prevents: str = "") -> Finding:
    return Finding(Severity.BLOCKER, what, subject, remedy=remedy, fact=fact, prevents=prevents)


def check_bucket(bucket: ExportBucket, region: str, *, instance: bool) -> tuple[Finding, ...]:
    """Findings on the bucket of an export from ``region``; an image's needs no grant, the role writes there."""
    found: list[Finding] = []
    if bucket.region is not None and bucket.region != region:
        found.append(
            _blocker(
                f"the bucket is in {bucket.region}, the export in {region}",
                bucket.name,
                f"Name a bucket in {region}",
                "F272" if instance else "F323",
                str(facts.error("E19")["message"]),
            )
        )
    if bucket.owned is False:
        found.append(
            _blocker(
                "the bucket belongs to another account",
                bucket.name,
                "Export into a bucket of this account, then copy the object",
                "F273" if instance else "F323",
            )
        )
    kms = bucket.encryption is not None and bucket.encryption.startswith("aws:kms")
    if kms:
        found.append(
            _blocker(
                "the bucket encrypts with KMS",
                bucket.name,
                "Name a bucket without encryption or with SSE-S3, or change its default encryption to SSE-S3",
                "F310" if instance else "F333",
            )
        )
    if instance:
        found += _grants(bucket)
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _grants(bucket: ExportBucket) -> Iterator[Finding]:
    forbidden = facts.load("access")["export_bucket"]["object_ownership"]
    if bucket.ownership == forbidden["required_not"]:
        yield _blocker(
            "the bucket has no access control lists (Object Ownership is 'bucket owner enforced')",
            bucket.name,
            f"Set Object Ownership to {forbidden['set_to']}",
            "F274",
        )
    if bucket.granted is False:
        yield _blocker(
            "the export service may not write to the bucket",
            bucket.name,
            "Grant READ_ACP and WRITE to the Region's canonical id; in the S3 console: Objects Write, Bucket ACL Read",
            "F276",
        )
