"""A disk becomes an EBS snapshot block by block: equal to the byte whatever happens on the way; requests counted."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits import block_writer
from tests.kits.aws_world import REGION, Control, World, content, world
from tests.kits.waiting import wait_until
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.facts import GIB
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK, SnapshotReader
from vmie_tui.services.aws.ebs.snapshot_writer import (
    Journal,
    MemoryJournal,
    SnapshotLost,
    SnapshotTarget,
    SnapshotWriter,
    WrittenSnapshot,
)
from vmie_tui.services.aws.ec2.images import describe_snapshots
from vmie_tui.services.aws.s3.buffer_budget import BudgetShare, BufferBudget
from vmie_tui.services.aws.session import Aws
from vmie_tui.simulators.control import Fault, TlsFiles

PUTS = "ebs:PutSnapshotBlock"
DATA = content(6 * BLOCK + 777)


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tls, tmp_path_factory.mktemp("aws")) as made:
        made[0].clock.speed = 200.0
        yield made


def writer(session: Aws, size: int, journal: Journal | None = None, **more: Any) -> SnapshotWriter:
    target = SnapshotTarget(size, **more.pop("target", {}))
    options: dict[str, Any] = {"control": Control(), "budget": BufferBudget(16 * BLOCK), **more}
    return SnapshotWriter(session, REGION, target, journal=journal or MemoryJournal(), **options)


def put(out: SnapshotWriter, data: bytes, at: int = 0, step: int = 100_001) -> None:
    """All of ``data``, in pieces that are a multiple of nothing."""
    view = memoryview(data)
    for start in range(0, len(data), step):
        out.put(at + start, view[start : start + step])


def write(session: Aws, data: bytes, journal: Journal | None = None, **more: Any) -> WrittenSnapshot:
    with writer(session, len(data), journal, **more) as out:
        put(out, data)
        return out.complete()


def stored(session: Aws, ident: str, size: int) -> bytes:
    with SnapshotReader(session, REGION, ident, size) as reader:
        return reader.read_at(0, size)


def linear(data: bytes) -> str:
    """The documented checksum, over the blocks that are not zeros."""
    blocks = [data[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(data), BLOCK)]
    digests = [hashlib.sha256(block).digest() for block in blocks if block.strip(b"\0")]
    return base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()


def test_a_disk_is_written_and_read_back(aws: World) -> None:
    simulator, session = aws
    journal, control = MemoryJournal(), Control()
    target = {"description": "web-01 disk 1", "tags": {"vm": "web-01"}}
    done = write(session, DATA, journal, control=control, target=target)
    assert stored(session, done.snapshot_id, len(DATA)) == DATA
    assert (done.size_gib, done.blocks, done.sent, done.skipped) == (1, 7, len(DATA), 0)
    assert done.checksum == linear(DATA)
    assert simulator.stats[PUTS] == 7 and control.sent_bytes == len(DATA)
    assert journal.blocks[6] == hashlib.sha256(DATA[6 * BLOCK :].ljust(BLOCK, b"\0")).digest()
    [info] = describe_snapshots(session, REGION, [done.snapshot_id])
    assert (info.state, info.tags, info.encrypted) == ("completed", {"vm": "web-01"}, False)


RUNS = st.lists(
    st.tuples(st.integers(0, 3 * BLOCK), st.integers(1, 2 * BLOCK), st.booleans()), min_size=0, max_size=5
)  # (bytes left out, bytes put, all zeros)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, tail=st.integers(0, BLOCK + 1), step=st.sampled_from([1 << 30, BLOCK, 65_536 + 7]))
def test_any_extents_and_sizes(aws: World, runs: list[tuple[int, int, bool]], tail: int, step: int) -> None:
    simulator, session = aws
    expected, extents = bytearray(), []
    for gap, length, zeros in runs:
        expected += bytes(gap)
        extents.append((len(expected), length))
        expected += bytes(length) if zeros else content(length, seed=gap)
    expected += bytes(tail)
    data = bytes(expected)
    simulator.stats.reset()
    with writer(session, len(data)) as out:
        for at, length in extents:
            put(out, data[at : at + length], at, step)
        done = out.complete()
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    assert simulator.stats[PUTS] == done.blocks == sum(1 for block in blocks if block.strip(b"\0"))
    assert stored(session, done.snapshot_id, len(data)) == data


@pytest.mark.parametrize(("size", "gib"), [(GIB, 1), (GIB + 1, 2), (512, 1), (3 * GIB - BLOCK, 3)])
def test_the_snapshot_has_the_next_whole_gib(aws: World, size: int, gib: int) -> None:
    _, session = aws
    last = content(512)
    with writer(session, size) as out:
        out.put(size - len(last), memoryview(last))
        done = out.complete()
    assert done.size_gib == gib and done.blocks == (2 if (size % BLOCK) not in {0, 512} and size % BLOCK < 512 else 1)
    with SnapshotReader(session, REGION, done.snapshot_id, size) as reader:
        assert reader.read_at(size - 512, 4096) == last


def interrupted(session: Aws, data: bytes, after: int, journal: MemoryJournal) -> str:
    """The snapshot an attempt leaves that is broken off when ``after`` blocks were put."""
    control = Control(stop_after=after * BLOCK, error=KeyboardInterrupt())  # type: ignore[arg-type]
    out = writer(session, len(data), journal, control=control, parallel=2)
    with pytest.raises(KeyboardInterrupt), out:
        put(out, data)
        out.complete()
    return out.snapshot_id


def test_a_second_attempt_sends_only_what_is_missing(aws: World) -> None:
    simulator, session = aws
    journal = MemoryJournal()
    ident = interrupted(session, DATA, 3, journal)
    before = len(journal.blocks)
    assert 3 <= before <= 5 and simulator.stats[PUTS] == before
    control = Control()
    done = write(session, DATA, journal, snapshot_id=ident, control=control)
    assert done.snapshot_id == ident and simulator.stats[PUTS] == 7 == done.blocks
    assert simulator.stats["ebs:StartSnapshot"] == 1
    assert (done.skipped, control.skipped_bytes) == (before * BLOCK, before * BLOCK)
    assert done.sent == len(DATA) - before * BLOCK and done.checksum == linear(DATA)
    assert stored(session, ident, len(DATA)) == DATA


def test_a_writer_that_is_killed_loses_16_mib_at_most(aws: World, tmp_path: Path) -> None:
    simulator, session = aws
    data = content(80 * BLOCK)
    source = tmp_path / "disk.raw"
    source.write_bytes(data)
    simulator.faults.add(Fault("PutSnapshotBlock", "delay", times=None, seconds=0.02))
    process = block_writer.start(session.settings, source, tmp_path)
    wait_until(lambda: simulator.stats[PUTS] >= 45, what="45 blocks under way")
    process.kill()
    process.join(10)
    simulator.faults.clear()
    journal = block_writer.FileJournal(tmp_path / "journal")
    there, before = len(dict(journal.load())), simulator.stats[PUTS]
    assert 45 - 32 - 2 <= there <= before < 80
    ident = (tmp_path / "snapshot").read_text()
    with writer(session, len(data), journal, snapshot_id=ident, target={"client_token": tmp_path.name}) as out:
        put(out, data)
        done = out.complete()
    assert simulator.stats[PUTS] - before == 80 - there and simulator.stats["ebs:StartSnapshot"] == 1
    assert done.skipped == there * BLOCK and done.checksum == linear(data)
    assert stored(session, ident, len(data)) == data


def test_a_source_that_can_skip_does_not_read_what_is_there(aws: World) -> None:
    simulator, session = aws
    journal, read = MemoryJournal(), []
    ident = interrupted(session, DATA, 3, journal)
    there = set(journal.blocks)
    with writer(session, len(DATA), journal, snapshot_id=ident) as out:
        for index in range(out.blocks):
            if out.wants(index):
                read.append(index)
                put(out, DATA[index * BLOCK : (index + 1) * BLOCK], index * BLOCK)
        done = out.complete()
    assert read == [index for index in range(7) if index not in there]
    assert simulator.stats[PUTS] == 7 and done.checksum == linear(DATA)
    assert stored(session, ident, len(DATA)) == DATA


OLD = st.sampled_from(["nothing", "equal", "other", "zeros"])
NEW = st.sampled_from(["data", "zeros", "hole"])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.lists(st.tuples(OLD, NEW), min_size=1, max_size=8), ask=st.booleans())
def test_whatever_is_in_the_journal_the_disk_is_right(aws: World, blocks: list[tuple[str, str]], ask: bool) -> None:
    """Blocks an earlier attempt put, of the same bytes, of others or of zeros, where the disk has data, zeros, none."""
    simulator, session = aws
    now = [content(BLOCK, seed=n) if new == "data" else bytes(BLOCK) for n, (_, new) in enumerate(blocks)]
    journal = MemoryJournal()
    first = writer(session, len(blocks) * BLOCK, journal)
    with pytest.raises(KeyboardInterrupt), first:
        for n, (old, _) in enumerate(blocks):
            made = {"equal": now[n], "other": content(BLOCK, seed=-1 - n), "zeros": bytes(BLOCK)}.get(old)
            if made is not None:
                journal.append([(n, hashlib.sha256(made).digest())])
                session.client("ebs", REGION).put_snapshot_block(
                    SnapshotId=first.snapshot_id,
                    BlockIndex=n,
                    BlockData=made,
                    DataLength=BLOCK,
                    Checksum=base64.b64encode(journal.blocks[n]).decode(),
                    ChecksumAlgorithm="SHA256",
                )
        raise KeyboardInterrupt
    simulator.stats.reset()
    with writer(session, len(blocks) * BLOCK, journal, snapshot_id=first.snapshot_id) as out:
        for n, (old, new) in enumerate(blocks):
            unchanged = old in {"nothing", "equal"}  # a source that asks must be one that does not change
            if new != "hole" and (not (ask and unchanged) or out.wants(n)):
                put(out, now[n], n * BLOCK)
        done = out.complete()
    assert stored(session, done.snapshot_id, len(blocks) * BLOCK) == b"".join(now)
    equal = [
        old != "nothing" and hashlib.sha256(now[n]).digest() == journal.blocks[n] for n, (old, _) in enumerate(blocks)
    ]
    assert simulator.stats[PUTS] == sum(
        1
        for n, (old, new) in enumerate(blocks)
        if (old == "nothing" and new == "data") or (old == "other") or (old == "zeros" and new == "data")
    )
    assert done.blocks == len(journal.blocks) and all(equal[n] for n in journal.blocks if blocks[n][0] != "nothing")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PutSnapshotBlock", times=5),
        Fault("PutSnapshotBlock", times=3, code="RequestThrottled", status=429),
        Fault("PutSnapshotBlock", times=3, code="ServiceUnavailable", status=503),
        Fault("PutSnapshotBlock", times=3, code="InternalServerException", status=500),
        Fault("PutSnapshotBlock", "reset", times=3),
        Fault("PutSnapshotBlock", times=3, code="ResourceNotFoundException", status=404),
        Fault("StartSnapshot", times=2),
        Fault("StartSnapshot", times=2, code="ConcurrentLimitExceededException", status=400),
        Fault("CompleteSnapshot", times=2, code="InternalServerException", status=500),
        Fault("CompleteSnapshot", "reset", times=2),
    ],
    ids=lambda fault: f"{fault.operation}-{fault.action}-{fault.code or 'throttled'}",
)
def test_trouble_that_passes_costs_only_time(aws: World, fault: Fault) -> None:
    simulator, session = aws
    added = simulator.faults.add(fault)
    done = write(session, DATA)
    assert added.fired == added.times
    assert stored(session, done.snapshot_id, len(DATA)) == DATA
    extra = added.fired if fault.operation == "PutSnapshotBlock" else 0
    assert simulator.stats[PUTS] == 7 + extra


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault("StartSnapshot", code="AccessDeniedException", status=403), ErrorKind.PERMISSION, "start the snapshot"),
        (
            Fault("StartSnapshot", code="ServiceQuotaExceededException", status=402),
            ErrorKind.REFUSED,
            "100 pending snapshots",
        ),
        (Fault("PutSnapshotBlock", code="AccessDeniedException", status=403), ErrorKind.PERMISSION, "put block"),
        (Fault("CompleteSnapshot", code="AccessDeniedException", status=403), ErrorKind.PERMISSION, "complete"),
        (Fault("PutSnapshotBlock", "expired-token", times=None), ErrorKind.LOGIN, "put block"),
    ],
    ids=lambda value: value.operation if isinstance(value, Fault) else "",
)
def test_what_does_not_pass_is_said_at_once(aws: World, fault: Fault, kind: ErrorKind, words: str) -> None:
    simulator, session = aws
    simulator.faults.add(fault)
    with pytest.raises(ServiceError) as caught:
        write(session, DATA)
    assert caught.value.kind is kind and words in str(caught.value) and caught.value.problem.remedy
    assert not isinstance(caught.value, SnapshotLost)


def test_a_snapshot_that_aws_dropped_is_begun_anew(aws: World) -> None:
    simulator, session = aws
    journal = MemoryJournal()
    ident = interrupted(session, DATA, 3, journal)
    simulator.clock.advance(4_320 * 60 + 1)
    with pytest.raises(SnapshotLost) as caught, writer(session, len(DATA), journal, snapshot_id=ident):
        pass
    assert caught.value.problem.subject == ident and "anew" in caught.value.problem.remedy
    assert caught.value.problem.retry_safe and caught.value.kind is ErrorKind.CONFLICT
    done = write(session, DATA, MemoryJournal())
    assert done.snapshot_id != ident and stored(session, done.snapshot_id, len(DATA)) == DATA


def test_a_snapshot_deleted_under_way_is_lost(aws: World) -> None:
    _, session = aws
    out = writer(session, len(DATA))
    with pytest.raises(SnapshotLost, match="no longer pending"), out:
        out._sender._appears_until = 0.0  # the two minutes in which it may not be there yet are over
        put(out, DATA[: 2 * BLOCK])
        session.client("ec2", REGION).delete_snapshot(SnapshotId=out.snapshot_id)
        put(out, DATA[2 * BLOCK :], 2 * BLOCK)
        out.complete()


def test_a_journal_that_aws_does_not_agree_with_is_given_up(aws: World) -> None:
    _, session = aws
    journal = MemoryJournal()
    ident = interrupted(session, DATA, 3, journal)
    journal.blocks[6] = hashlib.sha256(DATA[6 * BLOCK :].ljust(BLOCK, b"\0")).digest()  # never put
    with pytest.raises(SnapshotLost, match="refuses to complete"):
        write(session, DATA, journal, snapshot_id=ident)


def test_a_snapshot_that_is_completed_already_is_taken_as_it_is(aws: World) -> None:
    simulator, session = aws
    journal = MemoryJournal()
    first = write(session, DATA, journal)
    simulator.stats.reset()
    with writer(session, len(DATA), journal, snapshot_id=first.snapshot_id) as out:
        assert not any(out.wants(index) for index in range(7))
        again = out.complete()
    assert (again.checksum, again.blocks, again.skipped, again.sent) == (first.checksum, 7, len(DATA), 0)
    assert simulator.stats[PUTS] == simulator.stats["ebs:CompleteSnapshot"] == 0


def test_completion_is_waited_for_and_can_be_stopped(aws: World) -> None:
    simulator, session = aws
    journal, speed = MemoryJournal(), simulator.clock.speed
    simulator.clock.speed = 0.0
    try:
        control, outcome = Control(), []

        def run() -> None:
            try:
                write(session, DATA, journal, control=control)
            except ServiceError as error:
                outcome.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: simulator.stats["ec2:DescribeSnapshots"] >= 2, what="the writer to wait")
        control.error, control.stop_after = ServiceError(ErrorKind.CANCELLED, "enough"), 0
        began = time.monotonic()
        thread.join(10)
        assert not thread.is_alive() and time.monotonic() - began < 2
        assert outcome[0].kind is ErrorKind.CANCELLED
    finally:
        simulator.clock.speed = speed


def test_a_stop_takes_effect_while_blocks_hang(aws: World) -> None:
    simulator, session = aws
    hang = simulator.faults.add(Fault("PutSnapshotBlock", "delay", times=None, seconds=30))
    control, outcome = Control(), list[BaseException]()

    def run() -> None:
        try:
            write(session, DATA, control=control, parallel=4)
        except ServiceError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: hang.fired >= 4, what="four blocks under way")
    control.error, control.stop_after = ServiceError(ErrorKind.CANCELLED, "enough"), 0
    began = time.monotonic()
    wait_until(lambda: outcome, 10, "the stop, long before the answers")
    assert time.monotonic() - began < 2
    thread.join(10)


def test_a_child_holds_what_changed_zeros_too(aws: World) -> None:
    simulator, session = aws
    parent = write(session, DATA)
    simulator.stats.reset()
    changed = content(BLOCK, seed=9)
    with writer(session, len(DATA), target={"parent": parent.snapshot_id}) as out:
        put(out, bytes(BLOCK), BLOCK)
        put(out, changed, 3 * BLOCK)
        with pytest.raises(ServiceError, match="put whole"):
            out.put(4 * BLOCK + 512, memoryview(changed))
        done = out.complete()
    assert simulator.stats[PUTS] == done.blocks == 2
    expected = DATA[:BLOCK] + bytes(BLOCK) + DATA[2 * BLOCK : 3 * BLOCK] + changed + DATA[4 * BLOCK :]
    assert stored(session, done.snapshot_id, len(DATA)) == expected


def test_encryption_follows_request_account_and_parent(aws: World) -> None:
    _, session = aws
    kms, ec2 = session.client("kms", REGION), session.client("ec2", REGION)
    key = kms.create_key()["KeyMetadata"]
    plain = write(session, DATA[:BLOCK]).snapshot_id
    mine = write(session, DATA[:BLOCK], target={"encrypted": True, "kms_key_id": key["KeyId"]}).snapshot_id
    shown = ec2.describe_snapshots(SnapshotIds=[plain, mine])["Snapshots"]
    assert {s["SnapshotId"]: (s["Encrypted"], s.get("KmsKeyId", "")) for s in shown} == {
        plain: (False, ""),
        mine: (True, key["Arn"]),
    }
    for parent, more, words in (
        (plain, {"encrypted": True}, "not encrypted"),
        (mine, {"kms_key_id": key["Arn"].replace(key["KeyId"], "1234abcd")}, "another key"),
        ("snap-0123456789abcdef0", {}, "does not exist"),
    ):
        with pytest.raises(ServiceError, match=words), writer(session, BLOCK, target={"parent": parent, **more}):
            pass
    child = write(session, DATA[BLOCK : 2 * BLOCK], target={"parent": mine, "encrypted": True}).snapshot_id
    ec2.enable_ebs_encryption_by_default()
    try:
        default = write(session, DATA[:BLOCK]).snapshot_id
        assert [s.encrypted for s in describe_snapshots(session, REGION, [child, default])] == [True, True]
        with pytest.raises(ServiceError, match="would have to be"), writer(session, BLOCK, target={"parent": plain}):
            pass
    finally:
        ec2.disable_ebs_encryption_by_default()


def test_a_repeated_start_finds_the_same_snapshot(aws: World) -> None:
    simulator, session = aws
    with writer(session, BLOCK, target={"client_token": "job-1"}) as one:
        pass
    with writer(session, BLOCK, target={"client_token": "job-1"}) as two:
        pass
    assert one.snapshot_id == two.snapshot_id
    one.abandon()
    assert simulator.snapshots.get(one.snapshot_id) is None
    one.abandon()  # gone already: nothing to say


def test_bytes_that_go_back_or_lie_outside_are_a_bug(aws: World) -> None:
    _, session = aws
    with writer(session, 2 * BLOCK) as out:
        put(out, DATA[:1000], BLOCK)
        for at in (0, BLOCK + 999, 2 * BLOCK - 999):
            with pytest.raises(ServiceError) as caught:
                out.put(at, memoryview(DATA)[:1000])
            assert caught.value.kind is ErrorKind.BUG


def test_memory_stays_within_the_budget_and_the_journal_is_written_often(aws: World) -> None:
    _, session = aws
    budget, journal = BufferBudget(4 * BLOCK), MemoryJournal()
    data = content(70 * BLOCK)
    done = write(session, data, journal, budget=budget)
    assert budget.peak <= 4 * BLOCK and budget.lent == 0
    assert done.blocks == len(journal.blocks) == 70 and max(journal.batches) <= 64
    assert stored(session, done.snapshot_id, len(data)) == data


def test_writers_together_keep_within_their_share(aws: World) -> None:
    _, session = aws
    whole = BufferBudget(32 * BLOCK)
    share = BudgetShare(whole, 3 * BLOCK)
    data = content(12 * BLOCK)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: write(session, data, budget=share), range(3)))
    assert whole.peak <= share.peak <= 3 * BLOCK and share.lent == whole.lent == 0
    assert all(stored(session, one.snapshot_id, len(data)) == data for one in done)
    with pytest.raises(KeyboardInterrupt):  # who stops while waiting for the rest of the budget leaves the share whole
        stopped(share, whole)
    assert share.lent == 0


def stopped(share: BudgetShare, whole: BufferBudget) -> None:
    taken = whole.acquire(32 * BLOCK)
    try:
        share.acquire(BLOCK, raising)
    finally:
        whole.release(taken)


def raising() -> None:
    raise KeyboardInterrupt
