"""The simulated EBS direct APIs: strict about sizes, checksums, states, tokens and limits."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from vmie_tui.simulators.aws.errors import unsupported
from vmie_tui.simulators.aws.snapshots import BLOCK, SnapshotInfo, SnapshotStore
from vmie_tui.simulators.aws.wire import ApiError, Reply, Request
from vmie_tui.simulators.control import SimClock

MAX_PENDING = 100
MAX_GIB = 65_536
MIN_TIMEOUT, MAX_TIMEOUT = 10, 4_320  # minutes
COMPLETION_SECONDS = 20.0  # of the simulator's clock
TOKEN_LIFE = 7 * 86_400.0
ROUTES = (
    ("POST", re.compile(r"^/snapshots$"), "StartSnapshot"),
    ("POST", re.compile(r"^/snapshots/completion/(?P<ident>[^/]+)$"), "CompleteSnapshot"),
    ("PUT", re.compile(r"^/snapshots/(?P<ident>[^/]+)/blocks/(?P<index>\d+)$"), "PutSnapshotBlock"),
    ("GET", re.compile(r"^/snapshots/(?P<ident>[^/]+)/blocks/(?P<index>\d+)$"), "GetSnapshotBlock"),
    ("GET", re.compile(r"^/snapshots/(?P<ident>[^/]+)/blocks$"), "ListSnapshotBlocks"),
    ("GET", re.compile(r"^/snapshots/(?P<ident>[^/]+)/changedblocks$"), "ListChangedBlocks"),
)


class Ec2Side(Protocol):
    """The part of EC2 that EBS direct uses."""

    def show_snapshot(self, info: SnapshotInfo) -> None:
        """Registers a new snapshot in EC2."""

    def encrypted_by_default(self, region: str) -> bool: ...

    def default_key(self, region: str) -> str: ...

    def key_arn(self, region: str, key: str) -> str | None: ...


def _invalid(reason: str, message: str) -> ApiError:
    return ApiError("ValidationException", message, 400, fields={"Reason": reason})


def _missing(ident: str) -> ApiError:
    text = f"The snapshot '{ident}' does not exist."
    return ApiError("ResourceNotFoundException", text, 404, fields={"Reason": "SNAPSHOT_NOT_FOUND"})


class EbsService:
    """EBS direct on the snapshot store that VM import fills too."""

    def __init__(self, store: SnapshotStore, clock: SimClock, account: str, ec2: Ec2Side) -> None:
        self._store, self._clock, self._account, self._ec2 = store, clock, account, ec2
        self.puts_per_second: int | None = None  # of the account, by the wall clock; None: any number
        self._guard, self._second, self._puts = threading.Lock(), 0, 0

    def identify(self, request: Request) -> tuple[str, Callable[[], Reply]]:
        """(operation name, what answers it)."""
        for method, pattern, operation in ROUTES:
            match = pattern.match(request.path)
            if method == request.method and match:
                call = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
                return operation, partial(call, request, **match.groupdict())
        return f"{request.method} {request.path}", partial(_refuse, request)

    # writing

    def _start_snapshot(self, request: Request) -> Reply:
        asked = _json(request)
        size, token = asked.get("VolumeSize"), str(asked.get("ClientToken") or "")
        region = request.region
        again = next((i for i in self._store.all() if token and i.token == token and i.region == region), None)
        if again is not None:
            if (again.size_gib, again.parent) != (size, asked.get("ParentSnapshotId") or ""):
                raise ApiError("ConflictException", "The request uses the same client token with other parameters", 503)
            return _json_reply(201, self._started(again))
        if not isinstance(size, int) or not 1 <= size <= MAX_GIB:
            raise _invalid("INVALID_VOLUME_SIZE", f"The volume size {size} is not valid.")
        timeout = asked.get("Timeout", MIN_TIMEOUT)
        if not isinstance(timeout, int) or not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
            text = f"Timeout must be between {MIN_TIMEOUT} and {MAX_TIMEOUT} minutes."
            raise _invalid("INVALID_PARAMETER_VALUE", text)
        parent = self._parent(asked, region, size)
        pending = [i for i in self._store.all() if i.state == "pending" and i.origin == "direct" and i.region == region]
        if len(pending) >= MAX_PENDING:
            text = f"The limit of {MAX_PENDING} pending snapshots is reached."
            raise ApiError(
                "ServiceQuotaExceededException", text, 402, fields={"Reason": "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"}
            )
        encrypted, key = self._encryption(asked, region, parent)
        info = self._store.create(
            region=region,
            size_gib=size,
            description=str(asked.get("Description") or ""),
            parent=parent.id if parent else "",
            encrypted=encrypted,
            kms_key=key,
            token=token,
            tags={tag["Key"]: tag.get("Value", "") for tag in asked.get("Tags") or ()},
            timeout=60.0 * int(asked.get("Timeout") or 60),
            origin="direct",
        )
        self._ec2.show_snapshot(info)
        return _json_reply(201, self._started(info))

    def _parent(self, asked: dict[str, Any], region: str, size: int) -> SnapshotInfo | None:
        ident = asked.get("ParentSnapshotId")
        if not ident:
            return None
        if asked.get("Encrypted") is not None or asked.get("KmsKeyArn"):
            text = "Encrypted and KmsKeyArn cannot be specified together with ParentSnapshotId."
            raise _invalid("INVALID_PARAMETER_VALUE", text)
        parent = self._found(ident, region)
        if parent.state != "completed":
            raise _invalid("INVALID_SNAPSHOT_ID", f"The parent snapshot '{ident}' is not completed.")
        if parent.size_gib > size:
            raise _invalid("INVALID_VOLUME_SIZE", "The volume size is smaller than that of the parent snapshot.")
        if self._ec2.encrypted_by_default(region) and not parent.encrypted:
            text = "Encryption by default is enabled, so the parent snapshot must be encrypted."
            raise _invalid("INVALID_PARAMETER_VALUE", text)
        return parent

    def _encryption(self, asked: dict[str, Any], region: str, parent: SnapshotInfo | None) -> tuple[bool, str]:
        if parent is not None:
            return parent.encrypted, parent.kms_key
        if asked.get("KmsKeyArn") and not asked.get("Encrypted"):
            raise _invalid("INVALID_PARAMETER_VALUE", "KmsKeyArn requires Encrypted to be true.")
        if not asked.get("Encrypted") and not self._ec2.encrypted_by_default(region):
            return False, ""
        key = str(asked.get("KmsKeyArn") or self._ec2.default_key(region))
        if self._ec2.key_arn(region, key) != key:
            raise _invalid("INVALID_CUSTOMER_KEY", f"The KMS key '{key}' is no ARN of an enabled key of this Region.")
        return True, key

    def _started(self, info: SnapshotInfo) -> dict[str, Any]:
        return {
            "SnapshotId": info.id,
            "OwnerId": self._account,
            "Status": info.state,
            "StartTime": info.started,
            "VolumeSize": info.size_gib,
            "BlockSize": BLOCK,
            "Description": info.description or None,
            "Tags": [{"Key": key, "Value": value} for key, value in info.tags.items()],
            "ParentSnapshotId": info.parent or None,
            "KmsKeyArn": info.kms_key or None,
        }

    def _throttle(self) -> None:
        """Counts a put against the account's quota; raises RequestThrottledException beyond it."""
        with self._guard:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._puts = second, 0
            self._puts += 1
            if self.puts_per_second is not None and self._puts > self.puts_per_second:
                text = f"The account may put {self.puts_per_second} blocks a second."
                raise ApiError("RequestThrottledException", text, 400, fields={"Reason": "ACCOUNT_THROTTLED"})

    def _put_snapshot_block(self, request: Request, ident: str, index: str) -> Reply:
        self._throttle()
        info, at = self._pending(ident, request.region), int(index)
        data = request.body.read()
        if len(data) != BLOCK or request.header("x-amz-Data-Length") != str(BLOCK):
            raise _invalid("INVALID_BLOCK", f"The block must have exactly {BLOCK} bytes.")
        if request.header("x-amz-Checksum-Algorithm") != "SHA256":
            raise _invalid("INVALID_PARAMETER_VALUE", "The checksum algorithm must be SHA256.")
        if at >= info.blocks:
            raise _invalid("INVALID_PARAMETER_VALUE", f"The block index {at} is outside of the volume.")
        digest = hashlib.sha256(data).digest()
        text = base64.b64encode(digest).decode()
        if request.header("x-amz-Checksum") != text:
            raise _invalid("INVALID_BLOCK", "The checksum does not match the data of the block.")
        self._store.put_block(ident, at, data, digest)
        return _json_reply(201, {}, {"x-amz-Checksum": text, "x-amz-Checksum-Algorithm": "SHA256"})

    def _complete_snapshot(self, request: Request, ident: str) -> Reply:
        info = self._found(ident, request.region)
        if info.origin != "direct" or info.state not in {"pending", "completed"}:
            raise _invalid("INVALID_SNAPSHOT_ID", f"The snapshot '{ident}' is not pending.")
        count, held = request.header("x-amz-ChangedBlocksCount"), len(self._store.own_blocks(ident))
        if count != str(held):
            raise _invalid("INVALID_PARAMETER_VALUE", f"ChangedBlocksCount is {count}, but {held} blocks were written.")
        given = request.header("x-amz-Checksum")
        if given:
            method = request.header("x-amz-Checksum-Aggregation-Method")
            if request.header("x-amz-Checksum-Algorithm") != "SHA256" or method != "LINEAR":
                raise _invalid("INVALID_PARAMETER_VALUE", "The checksum must be SHA256, aggregated LINEAR.")
            if given != base64.b64encode(self._store.linear_digest(ident)).decode():
                raise _invalid("INVALID_PARAMETER_VALUE", "The checksum does not match that of the snapshot.")
        if info.ready_at is None:
            info = self._store.change(ident, ready_at=self._clock.now() + COMPLETION_SECONDS)
        return _json_reply(202, {"Status": info.state})

    # reading

    def _list_snapshot_blocks(self, request: Request, ident: str) -> Reply:
        info = self._readable(ident, request.region)
        entries = [
            (index, {"BlockIndex": index, "BlockToken": _token(ident, index)}) for index in self._store.blocks(ident)
        ]
        return self._page(request, info, "Blocks", entries)

    def _list_changed_blocks(self, request: Request, ident: str) -> Reply:
        second = self._readable(ident, request.region)
        first_id = request.query.get("firstSnapshotId", "")
        new, old = self._store.blocks(ident), dict[int, str]()
        if first_id:
            self._readable(first_id, request.region)
            if self._store.origin(first_id) != self._store.origin(ident):
                raise _invalid("UNRELATED_SNAPSHOTS", f"The snapshots '{first_id}' and '{ident}' are not related.")
            old = self._store.blocks(first_id)
        entries = []
        for index in sorted(set(new) | set(old)):
            if new.get(index) == old.get(index):
                continue
            entry: dict[str, Any] = {"BlockIndex": index}
            if index in old:
                entry["FirstBlockToken"] = _token(first_id, index)
            if index in new:
                entry["SecondBlockToken"] = _token(ident, index)
            entries.append((index, entry))
        return self._page(request, second, "ChangedBlocks", entries)

    def _page(
        self, request: Request, info: SnapshotInfo, name: str, entries: Iterable[tuple[int, dict[str, Any]]]
    ) -> Reply:
        query = request.query
        start = int(query.get("startingBlockIndex") or 0)
        if token := query.get("pageToken"):
            start = _page_index(token)
        limit = int(query.get("maxResults") or 10_000)
        if not 100 <= limit <= 10_000:
            raise _invalid("INVALID_PARAMETER_VALUE", "maxResults must be between 100 and 10000.")
        chosen = [entry for index, entry in entries if index >= start]
        body: dict[str, Any] = {
            name: chosen[:limit],
            "ExpiryTime": self._clock.now() + TOKEN_LIFE,
            "VolumeSize": info.size_gib,
            "BlockSize": BLOCK,
        }
        if len(chosen) > limit:
            body["NextToken"] = base64.urlsafe_b64encode(f"page:{chosen[limit]['BlockIndex']}".encode()).decode()
        return _json_reply(200, body)

    def _get_snapshot_block(self, request: Request, ident: str, index: str) -> Reply:
        self._readable(ident, request.region)
        if request.query.get("blockToken", "") != _token(ident, int(index)):
            raise _invalid("INVALID_BLOCK_TOKEN", "The block token is not valid.")
        data = self._store.read_block(ident, int(index))
        if data is None:
            raise _invalid("INVALID_PARAMETER_VALUE", f"The snapshot has no block {index}.")
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        headers = {
            "Content-Type": "application/octet-stream",
            "x-amz-Data-Length": str(len(data)),
            "x-amz-Checksum": digest,
            "x-amz-Checksum-Algorithm": "SHA256",
        }
        return Reply(200, data, headers)

    def _found(self, ident: str, region: str) -> SnapshotInfo:
        info = self._store.get(ident)
        if not re.match(r"^snap-[0-9a-f]+$", ident):
            raise _invalid("INVALID_SNAPSHOT_ID", f"The snapshot id '{ident}' is malformed.")
        if info is None or info.region != region:
            raise _missing(ident)
        return info

    def _pending(self, ident: str, region: str) -> SnapshotInfo:
        info = self._found(ident, region)
        if info.origin != "direct" or info.state != "pending" or info.ready_at is not None:
            raise _invalid("INVALID_SNAPSHOT_ID", f"The snapshot '{ident}' is not pending.")
        return info

    def _readable(self, ident: str, region: str) -> SnapshotInfo:
        info = self._found(ident, region)
        if info.state != "completed":
            raise _invalid("INVALID_SNAPSHOT_ID", f"The snapshot '{ident}' is not completed.")
        return info


def _refuse(request: Request) -> Reply:
    raise unsupported(request)


def _token(ident: str, index: int) -> str:
    digest = hashlib.sha256(f"{ident}:{index}".encode()).digest()
    return "AAAB" + base64.b64encode(digest).decode().replace("+", "-").replace("/", "_").replace("=", "")


def _page_index(token: str) -> int:
    try:
        kind, _, index = base64.urlsafe_b64decode(token).decode().partition(":")
        if kind == "page":
            return int(index)
    except (binascii.Error, ValueError):
        pass
    raise _invalid("INVALID_PAGE_TOKEN", "The page token is not valid.")


def _json(request: Request) -> dict[str, Any]:
    try:
        data = json.loads(request.body.read() or b"{}")
    except ValueError as error:
        raise _invalid("INVALID_PARAMETER_VALUE", "The request body is no JSON object.") from error
    return data if isinstance(data, dict) else {}


def _json_reply(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Reply:
    kept = {name: value for name, value in body.items() if value is not None}
    return Reply(status, json.dumps(kept).encode(), {"Content-Type": "application/json", **(headers or {})})
