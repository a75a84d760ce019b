"""What a run says of itself when it is over."""

from __future__ import annotations

import pytest

from vmie_tui.jobs.replication.retention import _changed
from vmie_tui.jobs.store.ledger import DiskLedger
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.model.job import StageState
from vmie_tui.model.replication import Sync


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (DiskLedger(sync=Sync.CHANGED, changed=100), 100),
        (DiskLedger(sync=Sync.CHECKSUM, changed=100), 700),
        (DiskLedger(sync=Sync.FULL), 700),
    ],
    ids=["asked of the host", "found by checksums", "all of it"],
)
def test_changed_is_what_the_host_said_or_what_was_sent(ledger: DiskLedger, expected: int) -> None:
    disk = DiskRecord(2000, "Hard disk 1", 1000, 700, StageState.DONE, "", "", "", ledger=ledger)
    assert _changed(disk) == expected
