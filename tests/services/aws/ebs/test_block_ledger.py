"""The book-keeping of a snapshot's blocks."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.services.aws.ebs.block_ledger import BlockLedger, MemoryJournal

DIGESTS = [hashlib.sha256(bytes([number])).digest() for number in range(8)]
ENTRIES = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(DIGESTS)), max_size=60)


class Pairs(MemoryJournal):
    """A journal that gives what was appended, one after the other."""

    def __init__(self, entries: list[tuple[int, bytes]]) -> None:
        super().__init__()
        self.entries = entries

    def load(self) -> list[tuple[int, bytes]]:  # type: ignore[override]
        return self.entries


@given(
    entries=ENTRIES, settled=st.dictionaries(st.integers(0, 200), st.sampled_from(DIGESTS)), bound=st.integers(0, 201)
)
def test_the_checksum_is_over_the_digests_in_the_order_of_index(
    entries: list[tuple[int, bytes]], settled: dict[int, bytes], bound: int
) -> None:
    ledger, known = BlockLedger(Pairs(entries)), dict(entries)
    assert len(ledger) == len(known)
    assert all(ledger.journaled(index) == known.get(index) for index in range(202))
    assert list(ledger.journaled_between(10, 90)) == sorted(index for index in known if 10 <= index < 90)
    for index, digest in settled.items():
        ledger.settle(index, digest)
        assert ledger.is_settled(index)
    assert not set(ledger.journaled_between(0, 202)) & set(settled)
    for below in (bound // 2, bound, 202):  # in any steps
        ledger.fold(below)
    assert ledger.count == len(settled)
    assert ledger.checksum == hashlib.sha256(b"".join(settled[index] for index in sorted(settled))).digest()


def test_a_digest_of_another_length_is_no_journal() -> None:
    with pytest.raises(ValueError, match="31 bytes"):
        BlockLedger(Pairs([(0, bytes(31))]))
