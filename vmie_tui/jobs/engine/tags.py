"""The tags on everything that an import makes: the user's own, and where it comes from."""

from __future__ import annotations

from vmie_tui import __version__
from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.model.plan import VmSource

MADE_BY = " by vmie-tui"  # the end of the description of every EBS snapshot that is written block by block
TAG_SOURCE, TAG_JOB, TAG_VERSION = "vmie-tui:source-vm", "vmie-tui:job", "vmie-tui:version"


def tags(context: ImportContext) -> dict[str, str]:
    """The user's tags and our own."""
    plan = context.plan
    name = plan.ami_name or plan.source.name
    path = context.ledger.machine.path if isinstance(plan.source, VmSource) else plan.source.where
    ours = {TAG_SOURCE: (path or plan.source.name)[-256:], TAG_JOB: context.job_id, TAG_VERSION: __version__}
    return {"Name": name[:256], **plan.tags, **ours, **context.own_tags}
