"""Sends 512 KiB blocks to EBS direct: checksums, the account's request rate, retries."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK
from vmie_tui.services.aws.errors import error_code, translate
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.rate_cap import RateCap
from vmie_tui.services.aws.s3.sender_pool import ATTEMPTS, Sender
from vmie_tui.services.aws.sdk import botocore
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.pacing import AdaptiveBucket

PUTS_PER_SECOND = 1_000  # per account, and per snapshot (trap 18)
APPEARS_SECONDS = 120.0  # a new snapshot may be unknown to EBS direct for so long (trap 22)
THROTTLED_ATTEMPTS = 3 * ATTEMPTS
THROTTLES = frozenset({"RequestThrottledException", "RequestThrottled", "ThrottlingException", "TooManyRequests"})


class SnapshotLost(ServiceError):
    """The pending snapshot cannot be resumed: start over with an empty journal and a new client token."""


def digest_text(digest: bytes) -> str:
    """A SHA-256 as EBS direct writes it."""
    return base64.b64encode(digest).decode("ascii")


_ACCOUNTS: dict[tuple[str, str, str], AdaptiveBucket] = {}
_ACCOUNTS_LOCK = threading.Lock()


def account_bucket(aws: Aws, region: str) -> AdaptiveBucket:
    """The token bucket shared by all writers of this process in one account and Region."""
    key = (aws.settings.profile or "", aws.settings.endpoint_url or "", region)
    with _ACCOUNTS_LOCK:
        return _ACCOUNTS.setdefault(key, AdaptiveBucket(PUTS_PER_SECOND))


@dataclass(frozen=True, slots=True)
class OutgoingBlock:
    """A block to send; ``digest`` is its SHA-256 where the owner knows it already."""

    index: int
    buffer: bytearray
    digest: bytes = b""
    length: int = BLOCK


@dataclass(frozen=True, slots=True)
class SentBlock:
    index: int
    digest: bytes


class BlockSender(Sender[OutgoingBlock, SentBlock]):
    """Up to ``parallel`` blocks of one snapshot under way at once. ``client`` must not retry by itself.

    ``new``: the snapshot was started just now, so that "it does not exist" is believed only after two minutes.
    """

    def __init__(
        self,
        client: Any,
        snapshot_id: str,
        budget: BufferBudget,
        parallel: int,
        *,
        account: AdaptiveBucket,
        new: bool,
        cap: RateCap | None = None,
    ) -> None:
        super().__init__(snapshot_id, budget, parallel, thread_name="ebs-block", cap=cap)
        self._client, self._buckets = client, (account, AdaptiveBucket(PUTS_PER_SECOND))
        self._appears_until = time.monotonic() + APPEARS_SECONDS if new else 0.0

    def doing(self, item: OutgoingBlock) -> str:
        return f"put block {item.index}"

    def put(self, item: OutgoingBlock, view: memoryview) -> SentBlock:
        digest = item.digest or hashlib.sha256(view).digest()
        for bucket in self._buckets:
            if (wait := bucket.take()) > 0:
                self.pause(wait)
        text = digest_text(digest)
        answer = self._client.put_snapshot_block(
            SnapshotId=self.subject,
            BlockIndex=item.index,
            BlockData=self.body(view),
            DataLength=BLOCK,
            Checksum=text,
            ChecksumAlgorithm="SHA256",
        )
        stored = answer.get("Checksum") or "none"
        if stored != text:
            what = f"EBS does not say that it stored block {item.index} with the checksum it was sent with"
            raise self.stored_otherwise(what, "the block", f"{stored} instead of {text}")
        for bucket in self._buckets:
            bucket.went_well()
        return SentBlock(item.index, digest)

    def worth_another(self, error: Exception, attempt: int) -> bool:
        if isinstance(error, botocore.exceptions.ClientError):
            if _is_throttling(error):
                for bucket in self._buckets:
                    bucket.throttled()
                return attempt < THROTTLED_ATTEMPTS
            if error_code(error) == "ResourceNotFoundException" and time.monotonic() < self._appears_until:
                return True
        return super().worth_another(error, attempt)

    def failure(self, error: Exception, item: OutgoingBlock) -> ServiceError:
        return lost(error, self.doing(item), self.subject) or super().failure(error, item)


def _is_throttling(error: botocore.exceptions.ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status in {429, 503} or error_code(error) in THROTTLES


def lost(error: Exception, doing: str, snapshot_id: str) -> SnapshotLost | None:
    """The `SnapshotLost` for an answer that says that a snapshot is gone or no longer pending; else None."""
    if not isinstance(error, botocore.exceptions.ClientError):
        return None
    gone = error_code(error) == "ResourceNotFoundException"
    if not gone and error.response.get("Reason") not in {"INVALID_SNAPSHOT_ID", "SNAPSHOT_NOT_FOUND"}:
        return None
    told = translate(error, doing, snapshot_id).problem
    return give_up(snapshot_id, f"cannot {doing}: the snapshot is no longer pending", told.code, told.detail)


def give_up(snapshot_id: str, what: str, code: str = "", detail: str = "") -> SnapshotLost:
    return SnapshotLost(
        ErrorKind.CONFLICT,
        what,
        subject=snapshot_id,
        remedy="Begin this disk anew: AWS drops a pending snapshot that nothing was written to for too long",
        retry_safe=True,
        code=code,
        detail=detail,
    )
