"""Resume: whatever an earlier run left in S3, the object ends up equal to the stream, and equal parts are not sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.aws_world import BUCKET, PART, Control, Source, World, content, store_for, world
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.s3.multipart import crc_of, crc_text
from vmie_tui.services.aws.s3.objects import UploadRequest
from vmie_tui.services.aws.session import Aws
from vmie_tui.simulators.control import Fault, TlsFiles

PARTS, TAIL = 3, 777
DATA = content(PARTS * PART + TAIL)
PIECES = [DATA[at : at + PART] for at in range(0, len(DATA), PART)]


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tls, tmp_path_factory.mktemp("aws")) as made:
        yield made


def begin(aws: Aws, key: str, **options: str) -> str:
    chosen = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT", **options}
    made: str = aws.client("s3").create_multipart_upload(Bucket=BUCKET, Key=key, **chosen)["UploadId"]
    return made


def put(aws: Aws, key: str, upload_id: str, number: int, data: bytes) -> None:
    aws.client("s3").upload_part(
        Bucket=BUCKET,
        Key=key,
        UploadId=upload_id,
        PartNumber=number,
        Body=data,
        ChecksumCRC64NVME=crc_text(crc_of(data)),
    )


def stored(aws: Aws, key: str) -> bytes:
    body: bytes = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


LEFT = st.sampled_from(["none", "equal", "other bytes", "shorter"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=st.lists(LEFT, min_size=len(PIECES), max_size=len(PIECES)), beyond=st.booleans())
def test_any_left_overs_give_the_same_object(aws: World, left: list[str], beyond: bool) -> None:
    _, session = aws
    key = "resumed"
    upload_id = begin(session, key)
    for number, (kind, piece) in enumerate(zip(left, PIECES, strict=True), 1):
        made = {"equal": piece, "other bytes": piece[::-1], "shorter": piece[:-1]}.get(kind)
        if made is not None:
            put(session, key, upload_id, number, made)
    if beyond:
        put(session, key, upload_id, len(PIECES) + 1, b"from a longer stream")
    control = Control()
    done = store_for(session).upload(UploadRequest(BUCKET, key, len(DATA)), Source(DATA), control=control)
    assert stored(session, key) == DATA
    equal = sum(len(piece) for kind, piece in zip(left, PIECES, strict=True) if kind == "equal")
    sizes = {
        len(PIECES[n]) if kind != "shorter" else len(PIECES[n]) - 1 for n, kind in enumerate(left) if kind != "none"
    }
    if PART in sizes or not sizes:  # else the part size cannot be told from what was left, and all is sent again
        assert done.skipped == equal
    assert control.sent_bytes + control.skipped_bytes == len(DATA)


def test_the_part_size_of_the_earlier_run_is_kept(aws: World) -> None:
    simulator, session = aws
    upload_id = begin(session, "grown")
    for number in (1, 2):
        put(session, "grown", upload_id, number, PIECES[number - 1])
    simulator.stats.reset()
    store = store_for(session, part_size=lambda size: 2 * PART)
    done = store.upload(UploadRequest(BUCKET, "grown", len(DATA)), Source(DATA), control=Control())
    assert (done.skipped, simulator.stats["s3:UploadPart"]) == (2 * PART, 2)
    assert stored(session, "grown") == DATA


def test_the_newest_upload_of_exactly_this_key_is_used(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator, session = aws
    store = store_for(session)
    old = begin(session, "newest")
    monkeypatch.setattr(simulator.keys, "skew", 60.0)  # S3 tells whole seconds: let some pass
    new = begin(session, "newest")
    begin(session, "newest-but-longer")
    found = store.find_upload(BUCKET, "newest")
    assert found is not None
    assert found.upload_id == new != old
    assert store.abort(BUCKET, "newest") == 2
    assert store.find_upload(BUCKET, "newest") is None
    assert store.find_upload(BUCKET, "newest-but-longer") is not None


def test_a_named_upload_is_gone_on_with(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator, session = aws
    first = begin(session, "named")
    put(session, "named", first, 1, PIECES[0])
    monkeypatch.setattr(simulator.keys, "skew", 60.0)  # S3 tells whole seconds: let some pass
    begin(session, "named")
    request = UploadRequest(BUCKET, "named", len(DATA), upload_id=first)
    assert store_for(session).upload(request, Source(DATA), control=Control()).skipped == PART


def test_a_named_upload_that_is_gone_starts_again(aws: World) -> None:
    _, session = aws
    request = UploadRequest(BUCKET, "vanished", len(DATA), upload_id="gone")
    assert store_for(session).upload(request, Source(DATA), control=Control()).sent == len(DATA)


def test_uploads_with_another_checksum_are_left_alone(aws: World) -> None:
    _, session = aws
    upload_id = begin(session, "foreign", ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE")
    done = store_for(session).upload(UploadRequest(BUCKET, "foreign", len(DATA)), Source(DATA), control=Control())
    assert done.skipped == 0
    assert stored(session, "foreign") == DATA
    left = store_for(session).find_upload(BUCKET, "foreign")
    assert left is not None
    assert left.upload_id == upload_id


def test_without_the_right_to_list_the_upload_starts_anew(aws: World) -> None:
    simulator, session = aws
    begin(session, "unlisted")
    refusal = simulator.faults.add(
        Fault("ListMultipartUploads", times=None, code="AccessDenied", message="Access Denied", status=403)
    )
    done = store_for(session).upload(UploadRequest(BUCKET, "unlisted", len(DATA)), Source(DATA), control=Control())
    simulator.faults.clear()
    assert refusal.fired
    assert done.sent == len(DATA)


def test_an_upload_into_no_bucket(aws: World) -> None:
    _, session = aws
    with pytest.raises(ServiceError) as caught:
        store_for(session).upload(UploadRequest("no-such-bucket-here", "k", 1), Source(b"x"), control=Control())
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert caught.value.problem.subject == "s3://no-such-bucket-here/k"
