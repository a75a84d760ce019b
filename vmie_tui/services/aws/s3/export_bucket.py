"""The export bucket: inspects it, proposes corrections as a diff, applies those confirmed, and verifies them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.exportable import ExportBucket
from vmie_tui.services.aws.errors import aws_call, boto_errors, error_code, translate
from vmie_tui.services.aws.iam import policy_documents as iam
from vmie_tui.services.aws.regions import partition_of
from vmie_tui.services.aws.s3.bucket_policy import read_policy
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.pacing import Poll

SEEN_PAUSE, SEEN_SECONDS = 0.5, 15.0  # S3 shows a changed bucket at once nearly always
_ABSENT = frozenset({"OwnershipControlsNotFoundError", "ServerSideEncryptionConfigurationNotFoundError"})
_FULL = "FULL_CONTROL"
Json = dict[str, Any]


class ChangeKind(StrEnum):
    """Which part of a bucket's configuration changes; in the order S3 requires."""

    OWNERSHIP = "ownership"
    ENCRYPTION = "encryption"
    ACL = "acl"


@dataclass(frozen=True, slots=True)
class BucketChange:
    """One change of a bucket's configuration, exactly as it would be sent. ``why`` in words; ``fact`` its source."""

    kind: ChangeKind
    bucket: str
    before: Json
    after: Json
    why: str
    fact: str

    @property
    def operation(self) -> str:
        return _WRITES[self.kind][0]

    @property
    def request(self) -> Json:
        """The parameters of the operation."""
        return {"Bucket": self.bucket, _WRITES[self.kind][2]: self.after}

    @property
    def diff(self) -> tuple[str, ...]:
        """A unified diff of the two, without file names."""
        old, new = (json.dumps(value, indent=2, sort_keys=True).splitlines() for value in (self.before, self.after))
        lines = list(difflib.unified_diff(old, new, lineterm="", n=2))
        return tuple(line for line in lines[2:] if not line.startswith("@@"))

    def to_json(self) -> Json:
        return {
            "kind": self.kind.value,
            "operation": self.operation,
            "bucket": self.bucket,
            "why": self.why,
            "fact": self.fact,
            "before": self.before,
            "after": self.after,
        }


@dataclass(frozen=True, slots=True)
class BucketReport:
    bucket: ExportBucket  # for the rules
    changes: tuple[BucketChange, ...] = ()  # would put right what can be
    notes: tuple[str, ...] = ()  # what was not looked at
    grantee: str = ""

    @property
    def grant(self) -> tuple[BucketChange, ...]:
        """The changes that let the export service write to it; encryption is left to its owner."""
        return tuple(change for change in self.changes if change.kind is not ChangeKind.ENCRYPTION)


_WRITES = {
    ChangeKind.OWNERSHIP: ("PutBucketOwnershipControls", "put_bucket_ownership_controls", "OwnershipControls"),
    ChangeKind.ENCRYPTION: ("PutBucketEncryption", "put_bucket_encryption", "ServerSideEncryptionConfiguration"),
    ChangeKind.ACL: ("PutBucketAcl", "put_bucket_acl", "AccessControlPolicy"),
}


def canonical_id(region: str) -> tuple[str, str]:
    """(canonical id of the account that writes the Region's exports, a note about it)."""
    known = facts.load("access")["export_bucket"]["canonical_account_ids"]
    for entry in known["by_region"]:
        if entry["region"] == region:
            return str(entry["id"]), str(entry.get("note", ""))
    return str(known["default"]), ""


class ExportBuckets:
    """The buckets that exports of one Region go to."""

    def __init__(self, aws: Aws, region: str | None = None) -> None:
        self._aws, self.region = aws, region or aws.region

    @property
    def _s3(self) -> Any:
        return self._aws.client("s3", self.region)

    def look(self, bucket: str, *, instance: bool) -> BucketReport:
        """The bucket's current state, with notes on what may not be read. Raises ServiceError NOT_FOUND.

        ``instance``: for an export of an instance, which needs the grant; an image's role writes by its own policy.
        """
        notes: list[str] = []
        store = ObjectStore(self._aws, self.region)
        region = store.region_of(bucket)
        seen = ExportBucket(bucket, region, store.owned_by(bucket, self._aws.identity().account))
        if region != self.region or seen.owned is False:
            return BucketReport(seen)
        encryption = self._read(bucket, "get_bucket_encryption", "ServerSideEncryptionConfiguration", notes)
        seen = replace(seen, encryption=None if encryption is None else _algorithm(encryption))
        changes = [*_encryption_change(bucket, encryption or {}, seen.encryption)]
        if not instance:
            return BucketReport(seen, tuple(changes), tuple(notes))
        grantee, note = canonical_id(self.region)
        ownership = self._read(bucket, "get_bucket_ownership_controls", "OwnershipControls", notes)
        acl = self._read(bucket, "get_bucket_acl", "", notes)
        rules = (ownership or {}).get("Rules") or [{}]
        seen = replace(
            seen,
            ownership=None if ownership is None else str(rules[0].get("ObjectOwnership", "")),
            granted=self._granted(bucket, acl, grantee, notes),
        )
        changes += [*_ownership_change(bucket, ownership, seen.ownership)]
        if acl is not None and seen.granted is False:
            changes.append(_acl_change(bucket, acl, grantee))
        order = list(ChangeKind)
        changes.sort(key=lambda change: order.index(change.kind))
        return BucketReport(seen, tuple(changes), (*notes, *((note,) if note else ())), grantee)

    def apply(
        self, report: BucketReport, kinds: Collection[ChangeKind] = (ChangeKind.OWNERSHIP, ChangeKind.ACL)
    ) -> BucketReport:
        """Applies the reported changes of these kinds and returns a new report.

        Raises ServiceError CONFLICT, before anything is changed, when the bucket is no longer as it was shown, and
        when S3 does not show a change within 15 s.
        """
        chosen = [change for change in report.changes if change.kind in kinds]
        name, instance = report.bucket.name, bool(report.grantee)
        now = self.look(name, instance=instance)
        if [change for change in now.changes if change.kind in kinds] != chosen:
            raise ServiceError(
                ErrorKind.CONFLICT,
                "the bucket was changed by somebody else in the meantime",
                subject=name,
                remedy="Look at it again, then decide",
            )
        for change in chosen:
            _, method, _ = _WRITES[change.kind]
            with aws_call(f"change the bucket's {change.kind.value}", name):
                getattr(self._s3, method)(**change.request)
        left: list[str] = []
        for _ in Poll(SEEN_PAUSE, seconds=SEEN_SECONDS):
            now = self.look(name, instance=instance)
            left = [change.kind.value for change in now.changes if change.kind in kinds]
            if not left:
                return now
        raise ServiceError(
            ErrorKind.CONFLICT,
            f"S3 does not show the change yet: {', '.join(left)}",
            subject=name,
            remedy="Look at the bucket again in a minute",
            retry_safe=True,
        )

    # -- reading

    def _read(self, bucket: str, method: str, member: str, notes: list[str]) -> Json | None:
        """A subresource of the bucket; {} when unset, None (and a note) when it may not be read."""
        try:
            answer: Json = getattr(self._s3, method)(Bucket=bucket)
        except boto_errors() as error:
            if error_code(error) in _ABSENT:
                return {}
            what = method.removeprefix("get_bucket_").replace("_", " ")
            trouble = translate(error, f"read the bucket's {what}", bucket)
            if trouble.kind is not ErrorKind.PERMISSION:
                raise trouble from error
            notes.append(f"the bucket's {what} may not be read by this profile")
            return None
        if member:
            found: Json = answer.get(member) or {}
            return found
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}

    def _granted(self, bucket: str, acl: Json | None, grantee: str, notes: list[str]) -> bool | None:
        """Whether the export service may read the ACL and write, by ACL or by the documented policy."""
        wanted = {str(grant["permission"]) for grant in facts.load("access")["export_bucket"]["acl_grants"]}
        given = {grant["Permission"] for grant in (acl or {}).get("Grants", ()) if _is(grant, grantee)}
        if wanted <= given or _FULL in given:
            return True
        allowed = self._policy_allows(bucket, grantee, notes)
        return True if allowed else None if acl is None or allowed is None else False

    def _policy_allows(self, bucket: str, grantee: str, notes: list[str]) -> bool | None:
        try:
            document = read_policy(self._aws, bucket, self.region)
        except ServiceError as error:
            if error.kind is not ErrorKind.PERMISSION:
                raise
            notes.append("the bucket's policy may not be read by this profile")
            return None
        ours = [
            statement
            for statement in iam.statements(document)
            if isinstance(statement.get("Principal"), Mapping)
            and grantee in iam.as_list(statement["Principal"].get("CanonicalUser"))
        ]
        wanted = facts.load("access")["export_bucket"]["bucket_policy"]["Statement"][0]["Action"]
        arn = f"arn:{partition_of(self.region)}:s3:::{bucket}"
        place = {"s3:PutObject": f"{arn}/any-key"}
        policies = [{**document, "Statement": ours}]
        return all(iam.allows(policies, action, place.get(action, arn)) for action in wanted)


def _is(grant: Mapping[str, Any], grantee: str) -> bool:
    return str(grant.get("Grantee", {}).get("ID", "")) == grantee


def _algorithm(encryption: Json) -> str:
    rules = encryption.get("Rules") or [{}]
    return str((rules[0].get("ApplyServerSideEncryptionByDefault") or {}).get("SSEAlgorithm", ""))


# -- the changes


def _encryption_change(bucket: str, before: Json, algorithm: str | None) -> list[BucketChange]:
    if not (algorithm or "").startswith("aws:kms"):
        return []
    after = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    why = "Exports go to buckets without encryption or with SSE-S3; what is in the bucket stays as it is"
    return [BucketChange(ChangeKind.ENCRYPTION, bucket, before, after, why, "F310")]


def _ownership_change(bucket: str, before: Json | None, ownership: str | None) -> list[BucketChange]:
    wanted = facts.load("access")["export_bucket"]["object_ownership"]
    if ownership != wanted["required_not"]:
        return []
    after = {"Rules": [{"ObjectOwnership": wanted["set_to"]}]}
    why = "With 'bucket owner enforced' a bucket has no access control list, and the export service cannot be let in"
    return [BucketChange(ChangeKind.OWNERSHIP, bucket, before or {}, after, why, "F274")]


def _acl_change(bucket: str, acl: Json, grantee: str) -> BucketChange:
    """The list as it is, and READ_ACP and WRITE for the Region's export service."""
    given = {grant["Permission"] for grant in acl.get("Grants", ()) if _is(grant, grantee)}
    added = [
        {"Grantee": {"ID": grantee, "Type": "CanonicalUser"}, "Permission": str(grant["permission"])}
        for grant in facts.load("access")["export_bucket"]["acl_grants"]
        if grant["permission"] not in given
    ]
    before = {"Owner": acl["Owner"], "Grants": list(acl.get("Grants", ()))}
    after = {"Owner": acl["Owner"], "Grants": [*before["Grants"], *added]}
    why = "The export service of the Region reads the bucket's access control list and writes the object"
    return BucketChange(ChangeKind.ACL, bucket, before, after, why, "F275")
