"""A replication's run goes through the phases of an import, in the same queues; its hooks do the rest."""

from __future__ import annotations

from vmie_tui.jobs.engine import phases
from vmie_tui.jobs.imports import flow
from vmie_tui.jobs.replication.context import ReplicationContext
from vmie_tui.jobs.replication.hooks import ReplicationHooks

FLOW = phases.Flow(ReplicationContext, ReplicationHooks, flow.dispatch, flow.PHASES)
