"""The kinds of job there are: which plan each has, its stages, and the words for what it moves from where to where.

Plain data, cheap to import: the command line and the screens create and read jobs with it. What the worker does for a
kind is in its flow (`engine.phases.Flow`). A new kind of job is an entry here and a flow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vmie_tui.jobs.store.ledger import ExportLedger, ImportLedger, JobLedger, RunLedger
from vmie_tui.model.export import ExportPlan, export_stages
from vmie_tui.model.job import Stage, import_stages
from vmie_tui.model.plan import ImportPlan, Route, SnapshotSource
from vmie_tui.model.replication import ReplicationPlan

KIND_IMPORT = "import"
KIND_EXPORT = "export"
KIND_REPLICATION = "replicate"  # one run of a replication


class JobPlan(Protocol):
    """What every plan has, whatever the job is."""

    @property
    def profile(self) -> str: ...
    @property
    def region(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """How jobs of one kind are recorded; each function takes a plan of type ``plan``."""

    name: str
    plan: type
    ledger: type[JobLedger]
    load: Callable[[dict[str, Any]], JobPlan]
    stages: Callable[[Any], tuple[Stage, ...]]
    title: Callable[[Any], str]
    source: Callable[[Any], str]
    target: Callable[[Any], str]


def _import_target(plan: ImportPlan) -> str:
    if plan.direct or isinstance(plan.source, SnapshotSource) or not plan.bucket:
        return f"EBS snapshots in {plan.region}" if plan.route is Route.SNAPSHOT else f"an AMI in {plan.region}"
    return f"s3://{plan.bucket}/{plan.prefix} in {plan.region}"


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            KIND_IMPORT,
            ImportPlan,
            ImportLedger,
            ImportPlan.from_json,
            import_stages,
            lambda plan: str(plan.source.name),
            lambda plan: str(plan.source.where),
            _import_target,
        ),
        Kind(
            KIND_EXPORT,
            ExportPlan,
            ExportLedger,
            ExportPlan.from_json,
            export_stages,
            lambda plan: str(plan.name or plan.source_id),
            lambda plan: str(plan.where),
            lambda plan: f"s3://{plan.bucket}/{plan.key_prefix} in {plan.region}",
        ),
        Kind(
            KIND_REPLICATION,
            ReplicationPlan,
            RunLedger,
            ReplicationPlan.from_json,
            import_stages,
            lambda plan: str(plan.source.name),
            lambda plan: str(plan.source.where),
            _import_target,
        ),
    )
}


def kind_of(plan: JobPlan) -> Kind:
    """The kind of job that carries out ``plan``. Raises KeyError for a plan of no kind."""
    for kind in KINDS.values():
        if type(plan) is kind.plan:
            return kind
    raise KeyError(type(plan).__name__)
