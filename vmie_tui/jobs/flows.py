"""Every kind of job the worker can carry out: importing a flow makes its workflows known to the engine."""

from __future__ import annotations

from vmie_tui.jobs import export_flow, import_flow, replication_flow

__all__ = ["export_flow", "import_flow", "replication_flow"]
