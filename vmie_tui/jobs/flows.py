"""Every kind of job the worker can carry out: importing a flow makes its workflows known to the engine."""

from __future__ import annotations

from vmie_tui.jobs.exports import flow as exports
from vmie_tui.jobs.imports import flow as imports
from vmie_tui.jobs.replication import flow as replication

__all__ = ["exports", "imports", "replication"]
