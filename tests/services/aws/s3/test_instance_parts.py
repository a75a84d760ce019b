"""A stream as part objects and a manifest: complete, resumed part by part, stopped at once, and cleaned away."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.aws_world import BUCKET, REGION, Control, Source, World, content, settings_for
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.instance_parts import (
    ABSENT_RUN,
    PartObjects,
    PartsRequest,
)
from vmie_tui.services.aws.s3.multipart import SMALLEST_PART
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.disks.streams.source import sha256_of
from vmie_tui.simulators.aws import manifest as reader
from vmie_tui.simulators.aws.presigned import follow
from vmie_tui.simulators.aws.wire import ApiError
from vmie_tui.simulators.control import Fault, TlsFiles

PART = 256 << 10
DATA = content(5 * PART + 777)
PIECES = [DATA[at : at + PART] for at in range(0, len(DATA), PART)]


def parts_for(aws: Aws, **options: object) -> PartObjects:
    return PartObjects(aws, REGION, budget=BufferBudget(8 * PART), **options)  # type: ignore[arg-type]


def request(prefix: str, data: bytes = DATA, part: int = PART, **more: object) -> PartsRequest:
    return PartsRequest(BUCKET, prefix, "disk.raw", "RAW", 1, len(data), part, **more)  # type: ignore[arg-type]


def stored(aws: Aws, key: str) -> bytes:
    body: bytes = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def listed(aws: Aws, prefix: str) -> list[str]:
    found = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return sorted(item["Key"] for item in found.get("Contents", ()))


# -- URLs


Change = Callable[[str], str]
CHANGES: dict[str, tuple[Change, str]] = {
    "another key": (lambda url: url.replace("disk.raw", "risk.raw"), "SignatureDoesNotMatch"),
    "another signature": (lambda url: url[:-4] + "0000", "SignatureDoesNotMatch"),
    "longer life": (lambda url: url.replace("Expires=604800", "Expires=604799"), "SignatureDoesNotMatch"),
    "too long a life": (lambda url: url.replace("Expires=604800", "Expires=604801"), "AuthorizationQuery"),
    "no number": (lambda url: url.replace("Expires=604800", "Expires=week"), "AuthorizationQuery"),
    "another day": (lambda url: url.replace("X-Amz-Date=2", "X-Amz-Date=3"), "AuthorizationQuery"),
    "host not signed": (lambda url: url.replace("SignedHeaders=host", "SignedHeaders=date"), "AuthorizationQuery"),
    "old algorithm": (lambda url: url.replace("AWS4-HMAC-SHA256", "AWS2"), "AuthorizationQuery"),
    "unknown key": (lambda url: url.replace("Credential=AKIA", "Credential=AKIB"), "InvalidAccessKeyId"),
    "not signed": (lambda url: url.partition("?")[0], "AccessDenied"),
    "another host": (lambda url: url.replace("localhost", "127.0.0.1"), "SignatureDoesNotMatch"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_simulator_takes_no_url_but_the_signed_one(aws: World, change: str) -> None:
    simulator, session = aws
    done = parts_for(session).upload(request("urls"), Source(DATA), control=Control())
    first = reader.parse(stored(session, done.manifest_key)).parts[0]
    assert follow(simulator, "GET", first.get_url).length == PART
    changed, code = CHANGES[change]
    with pytest.raises(ApiError) as caught:
        follow(simulator, "GET", changed(first.get_url))
    assert caught.value.code.startswith(code)
    with pytest.raises(ApiError):
        follow(simulator, "HEAD", first.get_url)  # the method is signed too


def test_urls_end_after_a_week(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator, session = aws
    done = parts_for(session).upload(request("week"), Source(DATA), control=Control())
    for skew, text in ((604_900.0, "expired"), (-1000.0, "not valid yet")):
        monkeypatch.setattr(simulator.keys, "skew", skew)
        with pytest.raises(ApiError, match=text):
            follow(simulator, "GET", done.manifest_url)


# -- uploads


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, len(DATA)])
def test_parts_are_the_stream_and_the_manifest_names_them(aws: World, size: int) -> None:
    simulator, session = aws
    data, control = DATA[:size], Control()
    wanted = request(f"whole-{size}", data, metadata={"job": "7"})
    done = parts_for(session).upload(wanted, Source(data, step=100_000), control=control)
    assert (done.bytes, done.sent, done.skipped, control.sent_bytes) == (size, size, 0, size)
    assert done.sha256 == sha256_of(_Bytes(data))
    read = reader.parse(stored(session, done.manifest_key))
    assert read.size == size and len(read.parts) == done.parts == -(-size // PART)
    assert b"".join(stored(session, part.key) for part in read.parts) == data
    for part in read.parts:
        assert follow(simulator, "HEAD", part.head_url).length == part.size
    head = session.client("s3").head_object(Bucket=BUCKET, Key=read.parts[0].key)
    assert head["Metadata"] == {"job": "7"}
    assert follow(simulator, "DELETE", read.parts[0].delete_url).status == 204
    assert done.manifest_key == f"whole-{size}/disk.rawmanifest.xml"


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def extents(self) -> Iterator[tuple[int, int]]:
        yield 0, self.size


def test_an_empty_stream_is_refused(aws: World) -> None:
    simulator, session = aws
    with pytest.raises(ServiceError) as caught:
        parts_for(session).upload(request("empty", b""), Source(b""), control=Control())
    assert caught.value.kind is ErrorKind.INVALID and simulator.stats["s3:PutObject"] == 0


def test_a_fresh_upload_soon_stops_looking_for_parts(aws: World) -> None:
    simulator, session = aws
    data = content(20 * 4096)
    parts_for(session, parallel=1).upload(request("fresh", data, 4096), Source(data), control=Control())
    assert simulator.stats["s3:HeadObject"] == ABSENT_RUN + 1
    assert simulator.stats["s3:PutObject"] == 20


def test_a_stopped_upload_goes_on_without_sending_what_is_there(aws: World) -> None:
    simulator, session = aws
    control = Control(stop_after=2 * PART, error=Cancelled())
    with pytest.raises(Cancelled):
        parts_for(session, parallel=1).upload(request("resumed"), Source(DATA), control=control)
    there = len(listed(session, "resumed/"))
    assert 2 <= there < len(PIECES)
    simulator.stats.reset()
    again = Control()
    done = parts_for(session).upload(request("resumed"), Source(DATA), control=again)
    assert simulator.stats["s3:PutObject"] == len(PIECES) - there
    assert (done.skipped, again.skipped_bytes) == (there * PART, there * PART)
    assert done.sent + done.skipped == len(DATA)
    read = reader.parse(stored(session, done.manifest_key))
    assert b"".join(stored(session, part.key) for part in read.parts) == DATA


KILLED = """
import sys
from pathlib import Path
from vmie_tui.services.aws.s3.instance_parts import PartObjects, PartsRequest
from vmie_tui.services.aws.session import open_session
from vmie_tui.settings import AwsSettings

url, ca, credentials, bucket, size = sys.argv[1:]
settings = AwsSettings(region="eu-west-1", endpoint_url=url, ca_bundle=Path(ca), credentials_file=Path(credentials))


class Control:
    def check(self):
        pass

    def moved(self, nbytes, *, skipped=False):
        pass


source = sys.stdin.buffer
request = PartsRequest(bucket, "killed", "disk.raw", "RAW", 1, int(size), int(size) // 5)
PartObjects(open_session(settings)).upload(request, source.readinto, control=Control())
"""


def test_a_killed_process_leaves_parts_that_count(aws: World, tls: TlsFiles, tmp_path: Path) -> None:
    simulator, session = aws
    where = settings_for(simulator, tls, tmp_path)
    arguments = [simulator.url, str(tls.ca), str(where.credentials_file), BUCKET, str(len(DATA))]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write(DATA[: 3 * PART])  # two parts and a bit: the stream then stands still
        process.stdin.flush()
        wait_until(lambda: len(listed(session, "killed/")) == 2, what="two parts")
    finally:
        process.kill()
        process.communicate()
    simulator.stats.reset()
    part = len(DATA) // 5
    done = parts_for(session).upload(
        PartsRequest(BUCKET, "killed", "disk.raw", "RAW", 1, len(DATA), part), Source(DATA), control=Control()
    )
    assert (done.skipped, simulator.stats["s3:PutObject"]) == (2 * part, done.parts - 2)
    read = reader.parse(stored(session, done.manifest_key))
    assert b"".join(stored(session, item.key) for item in read.parts) == DATA


LEFT = st.lists(st.sampled_from(["none", "equal", "other bytes", "shorter"]), min_size=6, max_size=6)


@settings(max_examples=10, deadline=None)
@given(left=LEFT)
def test_whatever_was_left_the_parts_are_the_stream(shared: World, left: list[str]) -> None:
    simulator, session = shared
    parts = parts_for(session)
    parts.delete(BUCKET, "left")
    client = session.client("s3")
    for index, (kind, piece) in enumerate(zip(left, PIECES, strict=True)):
        made = {"equal": piece, "other bytes": piece[::-1], "shorter": piece[:-1]}.get(kind)
        if made is not None:
            client.put_object(Bucket=BUCKET, Key=f"left/disk.raw.part{index}", Body=made, ChecksumAlgorithm="CRC64NVME")
    simulator.stats.reset()
    done = parts.upload(request("left"), Source(DATA), control=Control())
    equal = [len(piece) for kind, piece in zip(left, PIECES, strict=True) if kind == "equal"]
    assert (done.skipped, simulator.stats["s3:PutObject"]) == (sum(equal), len(PIECES) - len(equal))
    assert b"".join(stored(session, f"left/disk.raw.part{n}") for n in range(len(PIECES))) == DATA


def test_a_stop_comes_through_within_two_seconds(aws: World) -> None:
    simulator, session = aws
    simulator.s3_rate = 20_000.0
    control = Control(stop_after=0, error=Cancelled())
    control.stop_after = 0
    began: list[float] = []

    def fill(view: memoryview) -> int:
        began.append(time.monotonic())
        view[:] = bytes(len(view))
        return len(view)

    class Late(Control):
        def check(self) -> None:
            if len(began) >= 3:  # parts are under way, and would take many seconds
                raise Cancelled

    try:
        with pytest.raises(Cancelled):
            parts_for(session).upload(request("slow"), fill, control=Late())
        assert time.monotonic() - began[-1] < 2.0
    finally:
        simulator.s3_rate = None


def test_memory_is_bounded_by_the_budget(aws: World) -> None:
    _, session = aws
    budget, lent, source = BufferBudget(2 * PART), [0], Source(DATA)

    def fill(view: memoryview) -> int:
        lent.append(budget.lent)
        return source(view)

    PartObjects(session, REGION, budget=budget).upload(request("bounded"), fill, control=Control())
    assert max(lent) == 2 * PART
    assert (budget.peak, budget.lent) == (SMALLEST_PART, 0)  # the manifest is sent when no part is under way


def test_trouble_is_sat_out(aws: World) -> None:
    simulator, session = aws
    for action in ("error", "reset"):
        simulator.faults.add(Fault("PutObject", action, match="trouble/disk.raw.part1", code="SlowDown", status=503))
    simulator.faults.add(Fault("HeadObject", "reset", match="trouble/disk.raw.part0"))
    done = parts_for(session).upload(request("trouble"), Source(DATA), control=Control())
    assert stored(session, "trouble/disk.raw.part1") == PIECES[1]
    assert done.sent == len(DATA)


def test_a_refusal_names_the_object(aws: World) -> None:
    simulator, session = aws
    simulator.faults.add(Fault("PutObject", "error", times=None, code="AccessDenied", status=403))
    with pytest.raises(ServiceError) as caught:
        parts_for(session).upload(request("denied"), Source(DATA), control=Control())
    assert caught.value.kind is ErrorKind.PERMISSION
    assert "denied/disk.raw" in str(caught.value)


def test_without_the_right_to_read_parts_all_are_sent(aws: World) -> None:
    simulator, session = aws
    parts_for(session).upload(request("blind"), Source(DATA), control=Control())
    simulator.faults.add(Fault("HeadObject", "error", times=None, code="AccessDenied", status=403))
    assert parts_for(session).upload(request("blind"), Source(DATA), control=Control()).sent == len(DATA)


# -- cleaning up


def test_delete_takes_parts_and_manifest_and_nothing_else(aws: World) -> None:
    _, session = aws
    parts_for(session).upload(request("gone"), Source(DATA), control=Control())
    session.client("s3").put_object(Bucket=BUCKET, Key="gone/notes.txt", Body=b"mine")
    session.client("s3").put_object(Bucket=BUCKET, Key="gone-too/disk.raw.part0", Body=b"another job's")
    assert parts_for(session).delete(BUCKET, "gone/")
    assert listed(session, "gone") == ["gone-too/disk.raw.part0", "gone/notes.txt"]
    assert parts_for(session).delete(BUCKET, "gone")


def test_delete_without_the_right_to_list(aws: World) -> None:
    simulator, session = aws
    parts_for(session).upload(request("unlisted"), Source(DATA), control=Control())
    simulator.faults.add(Fault("ListObjectsV2", "error", times=None, code="AccessDenied", status=403))
    with pytest.raises(ServiceError):
        parts_for(session).delete(BUCKET, "unlisted")
    parts_for(session).delete(BUCKET, "unlisted", "disk.raw")
    simulator.faults.clear()
    assert listed(session, "unlisted") == []


def test_delete_wants_a_folder(aws: World) -> None:
    _, session = aws
    for prefix in ("", "/"):
        with pytest.raises(ServiceError) as caught:
            parts_for(session).delete(BUCKET, prefix)
        assert caught.value.kind is ErrorKind.INVALID


def test_a_read_only_profile_sends_no_part(aws: World, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    simulator, _ = aws
    session = open_session(settings_for(simulator, tls, tmp_path_factory.mktemp("read-only")), read_only=True)
    with pytest.raises(ServiceError) as caught:
        parts_for(session).upload(request("refused"), Source(DATA), control=Control())
    assert caught.value.kind is ErrorKind.REFUSED
    assert simulator.stats["s3:PutObject"] == 0
    session.close()
