"""The role error names the causes that were found, and keeps AWS's words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vmie_tui.jobs.imports import role_error
from vmie_tui.jobs.imports.role_error import with_causes
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.services.aws.iam import role_probes
from vmie_tui.services.aws.iam.role_probes import Outcome, ProbeResult

TEXT = facts.error("E06")["message"]
ROLE_ERROR = ServiceError(
    ErrorKind.REFUSED, "cannot import the image", detail=TEXT, remedy="create or repair the role", facts=("E06",)
)
TRUST = ProbeResult("trust", "trust without ExternalId", Outcome.FOUND, "the trust lacks sts:Externalid", "Add it.")
STS = ProbeResult("sts", "STS is not active", Outcome.NOT_FOUND)


class Context(SimpleNamespace):
    def __init__(self) -> None:
        plan = ImportPlan("p", VmSource("vc", "vm-1", "web-01"), "eu-west-1", "bucket")
        disks = [SimpleNamespace(s3_key="vmie/disk-1.vmdk")]
        super().__init__(plan=plan, disks=lambda: disks, job_id="j", aws=object(), said=[])

    def say(self, text: str, **_: Any) -> None:
        self.said.append(text)


def probe_gives(monkeypatch: pytest.MonkeyPatch, *results: ProbeResult | ServiceError) -> None:
    def probe(aws: object, case: role_probes.RoleCase) -> tuple[ProbeResult | ServiceError, ...]:
        assert (case.role_name, case.key) == ("vmimport", "vmie/disk-1.vmdk")
        for result in results:
            if isinstance(result, ServiceError):
                raise result
        return results

    monkeypatch.setattr(role_error, "probe_role_error", probe)


def test_names_the_cause_found_and_logs_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    probe_gives(monkeypatch, TRUST, STS)
    context: Any = Context()
    problem = with_causes(context, ROLE_ERROR).problem
    assert problem.what == "the trust lacks sts:Externalid"
    assert (problem.remedy, problem.detail, problem.subject) == ("Add it", TEXT, "vmimport")
    assert (problem.facts, problem.causes) == (("E06",), ("trust",))
    assert context.said == [
        "trust without ExternalId: found: the trust lacks sts:Externalid",
        "STS is not active: not found",
    ]


def test_keeps_the_error_when_nothing_is_found_or_may_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    context: Any = Context()
    probe_gives(monkeypatch, STS)
    assert with_causes(context, ROLE_ERROR) is ROLE_ERROR
    probe_gives(monkeypatch, ServiceError(ErrorKind.LOGIN, "the login expired"))
    assert with_causes(context, ROLE_ERROR) is ROLE_ERROR
    assert "the login expired" in context.said[-1]


def test_other_errors_pass_unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    context: Any = Context()
    other = ServiceError(ErrorKind.INVALID, "cannot import the image", detail="unknown format")
    probe_gives(monkeypatch, ServiceError(ErrorKind.BUG, "must not be called"))
    assert with_causes(context, other) is other
    assert context.said == []
