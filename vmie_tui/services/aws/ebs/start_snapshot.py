"""Starts a snapshot of EBS direct (encryption, parent, limits) and reads its state from EC2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.facts import GIB
from vmie_tui.services.aws.ebs.block_sender import give_up
from vmie_tui.services.aws.errors import aws_call, boto_errors, transient, translate
from vmie_tui.services.aws.parameters import short_description, tag_list, without_empty
from vmie_tui.services.aws.s3.sender_pool import ATTEMPTS, FIRST_WAIT
from vmie_tui.services.aws.session import BLOCKS, Aws
from vmie_tui.services.pacing import Backoff, Check, pause

PARENT_CODES = frozenset({"ValidationException", "ResourceNotFoundException"})
KEEP_MINUTES = 4_320  # the longest AWS keeps a pending snapshot that nothing is written to: a paused job may go on


@dataclass(frozen=True, slots=True)
class SnapshotTarget:
    """The snapshot to make. ``size``: bytes of the disk, any number; the snapshot has the next whole GiB.

    ``parent``: a completed snapshot this one continues; then only changed blocks are put, in whole blocks, and its
    encryption holds. ``client_token``: makes a repeated start find the same snapshot; new for every new beginning.
    """

    size: int
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    encrypted: bool = False
    kms_key_id: str | None = None
    parent: str = ""
    client_token: str = ""

    @property
    def size_gib(self) -> int:
        return max(1, -(-self.size // GIB))


class ParentRefused(ServiceError):
    """This parent cannot be used: the disk has to be written in full, without a parent."""


def persist(
    call: Callable[..., Any], arguments: dict[str, Any], doing: str, subject: str, check: Check
) -> dict[str, Any]:
    """The answer of one call, retried with back-off while that may help; ``check`` is called in between."""
    backoff = Backoff(ATTEMPTS, FIRST_WAIT)
    while True:
        check()
        try:
            answer: dict[str, Any] = call(**arguments)
        except boto_errors() as error:
            if not transient(error) or not backoff.fail():
                raise translate(error, doing, subject) from error
        else:
            return answer
        pause(backoff.seconds, check)


def start(aws: Aws, region: str, target: SnapshotTarget, check: Check) -> str:
    """StartSnapshot; the id of the pending snapshot."""
    arguments = without_empty(
        VolumeSize=target.size_gib,
        Timeout=KEEP_MINUTES,
        Description=short_description(target.description),
        Tags=tag_list(target.tags),
        ClientToken=target.client_token,
        **_encryption(aws, region, target),
    )
    try:
        answer = persist(
            aws.client(BLOCKS, region).start_snapshot, arguments, "start the snapshot", target.description, check
        )
    except ServiceError as error:
        if target.parent and error.problem.code in PARENT_CODES:  # it was good a moment ago
            raise ParentRefused.of(error.problem) from error
        if error.problem.code != "ServiceQuotaExceededException":
            raise
        trap = facts.trap("T18")
        raise ServiceError(
            ErrorKind.REFUSED,
            f"cannot start the snapshot: {trap['cause']}",
            subject=target.description,
            remedy=str(trap["remedy"]).capitalize(),
            retry_safe=True,
            code=error.problem.code,
            detail=error.problem.detail,
            facts=("T18",),
        ) from error
    ident, state = str(answer["SnapshotId"]), str(answer.get("Status") or "pending")
    if state != "pending":  # the client token found one of an earlier attempt
        raise give_up(ident, f"the snapshot of the earlier attempt is {state}")
    return ident


def _encryption(aws: Aws, region: str, target: SnapshotTarget) -> dict[str, Any]:
    """The arguments that decide on encryption. With a parent there are none: a snapshot is encrypted as its parent is.

    Without ``Encrypted`` AWS follows the account's default, so an account that encrypts by default always does.
    """
    key = _key_arn(aws, region, target.kms_key_id) if target.kms_key_id else ""
    if not target.parent:
        return ({"Encrypted": True} if target.encrypted or key else {}) | ({"KmsKeyArn": key} if key else {})
    parent = _described(aws, region, target.parent)
    if not parent:
        raise ParentRefused(
            ErrorKind.NOT_FOUND, "the parent snapshot does not exist", subject=target.parent, remedy="Make a full copy"
        )
    if parent.get("State") != "completed":
        raise ParentRefused(
            ErrorKind.CONFLICT,
            "the parent snapshot is not completed",
            subject=target.parent,
            remedy=str(facts.trap("T22")["remedy"]).capitalize(),
            retry_safe=True,
            facts=("T22",),
        )
    encrypted = bool(parent.get("Encrypted"))
    wanted = target.encrypted or bool(key)
    if not encrypted and (wanted or _encrypts_by_default(aws, region)):
        raise _parent_trouble(target.parent, "the parent snapshot is not encrypted, and the new one would have to be")
    if key and parent.get("KmsKeyId") != key:
        raise _parent_trouble(target.parent, "the parent snapshot is encrypted with another key")
    return {"ParentSnapshotId": target.parent}


def _parent_trouble(parent: str, what: str) -> ParentRefused:
    trap = facts.trap("T21")
    remedy, cause = str(trap["remedy"]).capitalize(), str(trap["cause"])
    return ParentRefused(ErrorKind.INVALID, what, subject=parent, remedy=remedy, detail=cause, facts=("T21",))


def _encrypts_by_default(aws: Aws, region: str) -> bool:
    with aws_call("ask whether EBS encrypts by default", region):
        return bool(aws.client("ec2", region).get_ebs_encryption_by_default().get("EbsEncryptionByDefault"))


def _key_arn(aws: Aws, region: str, key: str) -> str:
    """The ARN of a key, which is all StartSnapshot takes, from its id, alias or ARN."""
    if key.startswith("arn:") and ":key/" in key:
        return key
    with aws_call("look up the KMS key (its ARN needs no looking up)", key):
        return str(aws.client("kms", region).describe_key(KeyId=key)["KeyMetadata"]["Arn"])


def state_of(aws: Aws, region: str, snapshot_id: str) -> tuple[str, int]:
    """(state, GiB) of a snapshot as EC2 has it; ("", 0) for one it does not know."""
    data = _described(aws, region, snapshot_id)
    return str(data.get("State") or ""), int(data.get("VolumeSize") or 0)


def _described(aws: Aws, region: str, snapshot_id: str) -> dict[str, Any]:
    try:
        with aws_call("look at the snapshot", snapshot_id):
            found = aws.client("ec2", region).describe_snapshots(SnapshotIds=[snapshot_id]).get("Snapshots") or [{}]
    except ServiceError as error:
        if error.kind is ErrorKind.NOT_FOUND:
            return {}
        raise
    described: dict[str, Any] = found[0]
    return described
