"""How often a disk is begun again, without any process: as long as that leads anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.store.records import DiskRecord
from vmie_tui.jobs.transfer.reporting import AttemptReport
from vmie_tui.jobs.transfer.transfer import Transfer
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import StageState
from vmie_tui.services.aws.ebs.block_sender import give_up
from vmie_tui.services.pacing import TRIES

BROKEN = ServiceError(ErrorKind.NETWORK, "the connection broke", retry_safe=True)
LOST = give_up("snap-1", "the snapshot ended as error instead of completed")
ENOUGH = 3 * TRIES


class Played:
    """A transfer's context, origin, attempt, progress and target: each try sends some bytes, then fails."""

    def __init__(self, error: ServiceError) -> None:
        self.error, self.tries, self.control = error, 0, JobControl()
        self.control.wait = lambda seconds: None  # type: ignore[method-assign]

    def begin(self) -> Played:
        return self

    def lost(self) -> bool:
        return False

    def send(self, report: AttemptReport, disks: Sequence[DiskRecord]) -> None:
        self.tries += 1
        if self.tries < ENOUGH:
            report.moved(1 << 20)
            raise self.error

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.mark.parametrize(("error", "tries"), [(BROKEN, ENOUGH), (LOST, TRIES)], ids=["broken off", "begun anew"])
def test_a_snapshot_that_is_lost_each_time_is_given_up(error: ServiceError, tries: int) -> None:
    """As where its KMS key is disabled: each try sends the whole disk, and AWS drops it at the end."""
    played = Played(error)
    transfer = Transfer(played, played, played)  # type: ignore[arg-type]
    transfer.progress = played  # type: ignore[assignment]
    disk = DiskRecord(2000, "Hard disk 1", 1 << 30, 0, StageState.RUNNING, "", "", "")
    if tries == ENOUGH:
        transfer._persist([disk])
    else:
        with pytest.raises(ServiceError, match="ended as error"):
            transfer._persist([disk])
    assert played.tries == tries
