"""Uploads over real sockets: whole, empty, through trouble, stopped, in bounded memory."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, PART, Control, Source, World, content, store_for, world
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError
from vmie_tui.services.aws.s3 import sender_pool
from vmie_tui.services.aws.s3.buffer_budget import BufferBudget
from vmie_tui.services.aws.s3.multipart import crc_of, crc_text
from vmie_tui.services.aws.s3.objects import UploadRequest
from vmie_tui.services.aws.session import PARTS, Aws
from vmie_tui.simulators.control import Fault, TlsFiles


def read(aws: Aws, key: str) -> bytes:
    body: bytes = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def request(key: str, data: bytes, **options: object) -> UploadRequest:
    return UploadRequest(BUCKET, key, len(data), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 12_345])
def test_objects_of_any_size_arrive_whole(aws: World, size: int) -> None:
    simulator, session = aws
    data, control, store = content(size), Control(), store_for(session)
    done = store.upload(request(f"size-{size}", data), Source(data, 300_000), control=control)
    assert read(session, f"size-{size}") == data
    assert (done.size, done.sent, done.skipped, control.sent_bytes) == (size, size, 0, size)
    assert done.parts == max(1, -(-size // PART)) == simulator.stats["s3:UploadPart"]
    assert done.checksum == crc_text(crc_of(data))
    stored = store.head(BUCKET, f"size-{size}")
    assert stored is not None
    assert (stored.size, stored.checksum, stored.etag) == (size, done.checksum, done.etag)
    assert store.find_upload(BUCKET, f"size-{size}") is None


def test_what_is_asked_for_is_kept_with_the_object(aws: World) -> None:
    _, session = aws
    data = b"x"
    asked = request(
        "attributes",
        data,
        content_type="application/x-vmdk",
        tags={"job": "7", "name": "web & co"},
        metadata={"source": "vm-1"},
    )
    store_for(session).upload(asked, Source(data), control=Control())
    head = session.client("s3").head_object(Bucket=BUCKET, Key="attributes")
    assert head["ContentType"] == "application/x-vmdk"
    assert head["Metadata"] == {"source": "vm-1"}
    tags = session.client("s3").get_object_tagging(Bucket=BUCKET, Key="attributes")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"job": "7", "name": "web & co"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("UploadPart", "error", times=4, code="SlowDown", message="Reduce your request rate", status=503),
        Fault("UploadPart", "error", times=2, code="InternalError", message="We encountered an error", status=500),
        Fault("UploadPart", "error", times=1, code="BadDigest", message="The CRC64NVME you specified", status=400),
        Fault("UploadPart", "reset", times=3),
    ],
    ids=lambda fault: fault.code or fault.action,
)
def test_passing_trouble_is_ridden_out(aws: World, fault: Fault) -> None:
    simulator, session = aws
    data, control = content(3 * PART + 5), Control()
    simulator.faults.add(fault)
    done = store_for(session).upload(request("trouble", data), Source(data), control=control)
    assert fault.fired == fault.times
    assert read(session, "trouble") == data
    assert done.sent == control.sent_bytes == len(data)  # a part sent twice counts once
    assert simulator.stats["s3:UploadPart"] == 4 + fault.fired


def test_trouble_that_stays_ends_the_upload_with_its_name(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator, session = aws
    monkeypatch.setattr(sender_pool, "ATTEMPTS", 3)
    simulator.faults.add(Fault("UploadPart", times=None, code="SlowDown", message="Reduce", status=503))
    budget, data = BufferBudget(4 * PART), content(PART * 6)
    with pytest.raises(ServiceError) as caught:
        store_for(session, budget=budget).upload(request("busy", data), Source(data), control=Control())
    problem = caught.value.problem
    assert (problem.kind, problem.code, problem.retry_safe) == (ErrorKind.THROTTLED, "SlowDown", True)
    assert problem.subject == f"s3://{BUCKET}/busy"
    assert "upload part " in problem.what
    wait_until(lambda: budget.lent == 0, what="all buffers given back")


def forget_checksums(aws: Aws, *operations: str) -> None:
    """Let the answers look like those of a server that keeps no checksum, or names none."""

    def strip(parsed: dict[str, object], **_: object) -> None:
        for name in [name for name in parsed if name.startswith("Checksum")]:
            del parsed[name]

    for service in ("s3", PARTS):
        for operation in operations:
            aws.client(service).meta.events.register(f"after-call.s3.{operation}", strip)


@pytest.mark.parametrize(
    ("silent", "proven"),
    [
        (("UploadPart",), True),
        (("UploadPart", "CompleteMultipartUpload"), True),  # then the object is asked
        (("UploadPart", "CompleteMultipartUpload", "HeadObject"), False),
    ],
)
def test_a_server_that_names_no_checksum_is_asked_and_not_trusted(
    tls: TlsFiles, tmp_path: Path, silent: tuple[str, ...], proven: bool
) -> None:
    with world(tls, tmp_path) as (_, aws):
        forget_checksums(aws, *silent)
        data = content(2 * PART + 5)
        done = store_for(aws).upload(request("silent", data), Source(data), control=Control())
        assert (done.proven, read(aws, "silent")) == (proven, data)


def test_final_refusals_are_not_repeated(aws: World) -> None:
    simulator, session = aws
    fault = simulator.faults.add(
        Fault("UploadPart", times=None, match="/denied", code="AccessDenied", message="Access Denied", status=403)
    )
    with pytest.raises(ServiceError) as caught:
        store_for(session, parallel=1).upload(request("denied", b"abc"), Source(b"abc"), control=Control())
    assert caught.value.kind is ErrorKind.PERMISSION
    assert fault.fired == 1


def test_expired_credentials_ask_for_a_login_and_keep_the_upload(aws: World) -> None:
    simulator, session = aws
    data, store = content(2 * PART), store_for(session)
    simulator.faults.add(
        Fault("UploadPart", code="ExpiredToken", message="The provided token has expired.", status=400)
    )
    with pytest.raises(ServiceError) as caught:
        store.upload(request("login", data), Source(data), control=Control())
    assert caught.value.kind is ErrorKind.LOGIN
    assert store.find_upload(BUCKET, "login") is not None
    store.upload(request("login", data), Source(data), control=Control())
    assert read(session, "login") == data


def test_a_stop_keeps_what_was_sent(aws: World) -> None:
    simulator, session = aws
    data, store = content(6 * PART), store_for(session)
    with pytest.raises(Cancelled):
        store.upload(request("stopped", data), Source(data), control=Control(2 * PART, Cancelled()))
    before = simulator.stats["s3:UploadPart"]
    control = Control()
    done = store.upload(request("stopped", data), Source(data), control=control)
    assert read(session, "stopped") == data
    assert done.skipped >= 2 * PART
    assert (control.sent_bytes, control.skipped_bytes) == (done.sent, done.skipped)
    assert (simulator.stats["s3:UploadPart"] - before) * PART == done.sent == len(data) - done.skipped


def test_a_stop_takes_effect_while_parts_hang(aws: World) -> None:
    simulator, session = aws
    hang = simulator.faults.add(Fault("UploadPart", "delay", times=None, match="/hanging", seconds=30))
    stop, budget = threading.Event(), BufferBudget(8 * PART)

    class Stopped(Control):
        def check(self) -> None:
            if stop.is_set():
                raise Cancelled

    outcome: list[BaseException] = []

    def run() -> None:
        data = content(8 * PART)
        try:
            store_for(session, budget=budget).upload(request("hanging", data), Source(data), control=Stopped())
        except Cancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: hang.fired >= 3, what="three parts under way")
    stop.set()
    wait_until(lambda: outcome, 15, "the stop, long before the parts' answers")
    simulator.faults.clear()


def test_what_the_source_raises_comes_out(aws: World) -> None:
    _, session = aws
    budget = BufferBudget(4 * PART)

    def fill(view: memoryview) -> int:
        raise ServiceError(ErrorKind.NETWORK, "lease lost", subject="vm")

    with pytest.raises(ServiceError, match="lease lost"):
        store_for(session, budget=budget).upload(request("source", b"x"), fill, control=Control())
    assert budget.lent == 0


def test_many_uploads_share_one_small_budget(aws: World) -> None:
    _, session = aws
    budget = BufferBudget(2 * PART)
    store = store_for(session, budget=budget)
    data = {f"shared-{n}": content(3 * PART + n, n) for n in range(4)}

    def run(key: str) -> None:
        store.upload(request(key, data[key]), Source(data[key]), control=Control())

    threads = [threading.Thread(target=run, args=(key,)) for key in data]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert budget.peak <= 2 * PART
    for key, expected in data.items():
        assert read(session, key) == expected


def test_a_part_larger_than_the_budget_is_admitted_alone(aws: World) -> None:
    _, session = aws
    budget, data = BufferBudget(PART // 2), content(2 * PART + 9)
    store_for(session, budget=budget).upload(request("large", data), Source(data), control=Control())
    assert read(session, "large") == data
    assert budget.peak == PART


def test_an_answer_lost_at_the_very_end_is_no_failure(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, session = aws
    store, data = store_for(session), content(100)
    client = session.client("s3")
    complete = client.complete_multipart_upload

    def twice(**arguments: object) -> object:
        complete(**arguments)
        return complete(**arguments)  # as botocore does when the connection breaks before the answer

    monkeypatch.setattr(client, "complete_multipart_upload", twice)
    done = store.upload(request("lost-answer", data), Source(data), control=Control())
    assert read(session, "lost-answer") == data
    assert done.size == 100


def test_an_aborted_upload_is_reported_as_gone(aws: World) -> None:
    _, session = aws
    store, data = store_for(session, parallel=1), content(3 * PART)

    class Aborting(Control):
        def moved(self, nbytes: int, *, skipped: bool = False) -> None:
            if not self.sent_bytes:
                assert store.abort(BUCKET, "aborted") == 1
            super().moved(nbytes, skipped=skipped)

    with pytest.raises(ServiceError) as caught:
        store.upload(request("aborted", data), Source(data), control=Aborting())
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert store.head(BUCKET, "aborted") is None
