"""The tag that names the source of what an import makes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vmie_tui.jobs.engine.tags import TAG_JOB, TAG_SOURCE, tags
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import FileSource, ImportPlan, Source, VmSource

VM = VmSource("vc", "vm-1", "web-01")
FILE = FileSource("web", ("/srv/a.vmdk", "/srv/b.vmdk"))
CHECKED = ImportLedger(machine=Machine("vm-1", "web-01", datacenter="DC1", folder=("Test",)))


@pytest.mark.parametrize(
    ("source", "ledger", "named"),
    [
        (VM, CHECKED, "DC1/Test/web-01"),
        (VM, ImportLedger(), "web-01"),  # not checked yet
        (FILE, ImportLedger(machine=Machine(FILE.where, "web")), "/srv/a.vmdk, /srv/b.vmdk"),
        (FileSource("web", ("/" + "x" * 300,)), ImportLedger(), "x" * 256),
    ],
    ids=["machine", "machine unknown", "files", "long"],
)
def test_the_source_is_named_by_its_path(source: Source, ledger: ImportLedger, named: str) -> None:
    context: Any = SimpleNamespace(
        plan=ImportPlan("p", source, "eu-west-1", "bucket", tags={"team": "web"}),
        ledger=ledger,
        job_id="j",
        own_tags={},
    )
    made = tags(context)
    assert made[TAG_SOURCE] == named
    assert (made["Name"], made["team"], made[TAG_JOB]) == (source.name, "web", "j")
