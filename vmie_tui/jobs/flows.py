"""Every kind of job that the worker can carry out."""

from __future__ import annotations

from vmie_tui.jobs.exports import flow as exports
from vmie_tui.jobs.imports import flow as imports
from vmie_tui.jobs.replication import flow as replication
from vmie_tui.jobs.store.kinds import KIND_EXPORT, KIND_IMPORT, KIND_REPLICATION

FLOWS = {KIND_IMPORT: imports.FLOW, KIND_EXPORT: exports.FLOW, KIND_REPLICATION: replication.FLOW}
