"""A run of a replication goes through the phases of an import, in the same queues; its context does the rest."""

from __future__ import annotations

from vmie_tui.jobs import engine, import_flow
from vmie_tui.jobs.kinds import KIND_REPLICATION
from vmie_tui.jobs.replication_context import ReplicationContext

engine.add_flow(KIND_REPLICATION, engine.Flow(ReplicationContext, import_flow.dispatch))
