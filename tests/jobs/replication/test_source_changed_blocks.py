"""Parts of a replication's run: digests that are only trusted for their snapshot, and areas in whole blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from vmie_tui.jobs.replication.delta import _bytes
from vmie_tui.jobs.replication.source_changed_blocks import _Digests, _missing
from vmie_tui.jobs.store import block_journal
from vmie_tui.jobs.store.block_digests import BlockDigests
from vmie_tui.jobs.store.store import Store
from vmie_tui.services.disks.streams.proof_samples import BLOCK

A, B, C = (bytes([letter]) * 32 for letter in b"abc")


@pytest.fixture
def content(tmp_path: Path) -> Iterator[BlockDigests]:
    store = Store(tmp_path)
    yield BlockDigests(store, "sms-job-12345678", 2000)
    store.close()


def test_digests_are_those_of_one_snapshot_and_its_children(content: BlockDigests) -> None:
    assert not content.is_of("snap-1")
    assert content.update([(0, A), (7, B)], "snap-1", "")
    assert content.is_of("snap-1")
    assert content.update([(7, C), (9, A)], "snap-2", "snap-1")
    assert not content.is_of("snap-1")
    assert (content.is_of("snap-2"), list(content.load())) == (True, [(0, A), (7, C), (9, A)])
    assert content.update([(3, B)], "snap-3", ""), "without a parent nothing of before is left"
    assert list(content.load()) == [(3, B)]


def test_digests_of_another_snapshot_are_of_no_use(content: BlockDigests) -> None:
    content.update([(0, A)], "snap-1", "")
    assert not content.update([(1, B)], "snap-3", "snap-2")
    assert not content.is_of("snap-3")
    assert list(content.load()) == []


def test_an_update_that_was_broken_off_is_trusted_by_nobody_and_gone_on_with(content: BlockDigests) -> None:
    content.update([(0, A)], "snap-1", "")

    def broken() -> Iterator[tuple[int, bytes]]:
        yield from ((index, B) for index in range(2_500))  # more than are written at once
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        content.update(broken(), "snap-2", "snap-1")
    assert not content.is_of("snap-1")
    assert not content.is_of("snap-2")
    assert content.update(((index, B) for index in range(2_500)), "snap-2", "snap-1")
    assert content.is_of("snap-2")
    assert sum(1 for _ in content.load()) == 2_500


def test_a_clear_that_was_broken_off_leaves_nothing_that_is_trusted(
    content: BlockDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that is missing stands for zeros: were the marker not the first to go, data would be taken for them."""
    monkeypatch.setattr(block_journal, "CLEARED_AT_ONCE", 3)
    content.update(((index, B) for index in range(8)), "snap-1", "")
    begin, transactions = Store.begin, []

    @contextmanager
    def counted(store: Store) -> Iterator[sa.Connection]:
        transactions.append(store)
        if len(transactions) == 2:
            raise RuntimeError("killed")
        with begin(store) as connection:
            yield connection

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(Store, "begin", counted)
        content.clear()
    assert not content.is_of("snap-1")
    assert [index for index, _ in content.load()] == [2, 3, 4, 5, 6, 7]
    content.clear()
    assert list(content.load()) == []


def test_blocks_become_runs() -> None:
    blocks = [(index, A) for index in (0, 1, 2, 5, 9, 10)]
    assert list(_bytes(blocks)) == [(0, 3 * BLOCK), (5 * BLOCK, 6 * BLOCK), (9 * BLOCK, 11 * BLOCK)]
    assert list(_bytes([])) == []


class Wanting:
    """Takes the blocks it was made with; the others it has."""

    def __init__(self, *wanted: int) -> None:
        self.wanted = wanted

    def wants(self, index: int) -> bool:
        return index in self.wanted

    def put(self, offset: int, data: memoryview) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ((0, 1, 2, 4, 5), [(0, 3 * BLOCK), (4 * BLOCK, BLOCK + 512)]),
        ((1,), [(BLOCK, BLOCK)]),
        ((0, 2, 5), [(0, BLOCK), (2 * BLOCK, BLOCK), (5 * BLOCK, 512)]),
        ((), []),
    ],
)
def test_what_is_there_is_left_out_of_the_areas(wanted: tuple[int, ...], left: list[tuple[int, int]]) -> None:
    capacity = 5 * BLOCK + 512
    areas = [(0, 3 * BLOCK), (4 * BLOCK, BLOCK + 512)]
    assert list(_missing(areas, capacity, Wanting(*wanted))) == left


def test_digests_are_found_by_ascending_indexes() -> None:
    digests = _Digests(iter([(2, A), (5, B)]))
    assert [digests.of(index) for index in (0, 2, 3, 5, 6, 9)] == [b"", A, b"", B, b"", b""]
