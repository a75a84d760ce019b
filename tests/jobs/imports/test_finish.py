"""What an import says when its last step, the tags, is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.engine.retry import again
from vmie_tui.jobs.imports import finish
from vmie_tui.jobs.imports.finish import tag_results
from vmie_tui.jobs.store.ledger import ImportLedger
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import VmSource


def context() -> Any:
    plan = SimpleNamespace(region="eu-west-1", ami_name="web", tags={}, source=VmSource("vc", "vm-1", "web"))
    return SimpleNamespace(
        disks=lambda: [SimpleNamespace(snapshot_id="snap-1"), SimpleNamespace(snapshot_id="")],
        start_stage=lambda _: None,
        record=SimpleNamespace(image_id="ami-1"),
        ledger=ImportLedger(),
        plan=plan,
        job_id="j",
        aws=None,
        own_tags={},
        retry=lambda work: again(work, JobControl()),
        say=lambda *_: None,
    )


@pytest.mark.parametrize(
    ("kind", "complete"), [(ErrorKind.REFUSED, True), (ErrorKind.PERMISSION, True), (ErrorKind.LOGIN, False)]
)
def test_a_refused_tag_says_that_the_image_is_complete(
    kind: ErrorKind, complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def refuse(_aws: Any, _region: str, ids: list[str], _tags: Any) -> None:
        asked.append(ids)
        raise ServiceError(kind, "cannot tag", remedy="Use other tags", code="TagPolicyViolation")

    monkeypatch.setattr(finish, "tag", refuse)
    with pytest.raises(ServiceError, match="cannot tag") as caught:
        tag_results(context())
    assert asked == [["ami-1", "snap-1"]]
    assert caught.value.kind is kind and caught.value.problem.code == "TagPolicyViolation"
    assert ("ami-1, snap-1: complete" in caught.value.problem.remedy) is complete
    assert "Use other tags" in caught.value.problem.remedy
