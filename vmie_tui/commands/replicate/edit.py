"""``vmie-tui replicate edit``: what a replication does from its next run on."""

from __future__ import annotations

from typing import Any

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.replicate.common import ident_argument, name_of
from vmie_tui.commands.replicate.create import (
    EVERY,
    GROUP,
    KEEP,
    LICENSE,
    ORDER,
    QUIESCE,
    VERIFY,
    answer,
    check_readable,
)
from vmie_tui.commands.session import Session
from vmie_tui.model.machine import Machine
from vmie_tui.model.replication import ReplicationView, stamp, until
from vmie_tui.operations.replication_plan import ReplicationDraft, edit_draft


@click.command("edit")
@ident_argument
@EVERY
@click.option(
    "--next-run", metavar="TIME", help="Start of the next run, and of the interval: now, +2h, 2026-03-04T15:30."
)
@KEEP
@LICENSE
@click.option("--role-name", metavar="ROLE", help="The service role.")
@click.option("--encrypted/--not-encrypted", default=None, help="Only before the first run is complete.")
@click.option("--kms-key-id", metavar="KEY", help="With --encrypted: the key, instead of the account's default.")
@QUIESCE
@VERIFY
@click.option("--ami-name", metavar="NAME", help="Name of the AMIs; may have {vm}, {date}, {time}, {region}.")
@click.option("--description", metavar="TEXT", help="Description of the tasks and the AMIs; likewise.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tags from now on, instead of all before.")
@GROUP
@ORDER
@json_option
@pass_session
def edit(session: Session, /, *, ident: str, next_run: str | None, as_json: bool, **chosen: Any) -> None:
    """Change what a replication does from its next run on. What is not given stays.

    The VM, the Region and whether it runs once cannot be changed.

    \b
    Examples: vmie-tui replicate edit web-01 --every 6 --keep 10
              vmie-tui replicate edit web-01 --next-run +30m
    """
    given = {name: value for name, value in chosen.items() if value is not None and value != ()}
    if not given and next_run is None:
        raise click.UsageError("say what to change; see --help")
    if given.get("every") == 0:
        raise click.UsageError("an interval is 1 to 24 hours; a replication cannot be made one-time")
    view = session.replications.find(ident)
    operations = session.operations_of(view.spec.plan.profile)
    machine = operations.vcenter.machine_of(view.spec.plan)
    draft = edited(view, operations.profile.vcenter, (machine,) if machine is not None else (), given, next_run or "")
    for blocker in draft.standing(draft.judge(machine, operations.replications.findings)):
        raise blocker.refusal(blocker.why)
    operations.replications.edit(view.id, draft.spec_for(None), draft.start_at())
    view = operations.replications.jobs.view(view.id)
    if view.next_run is not None:
        say(f"{view.id}: {name_of(view)}: next run {stamp(view.next_run)} ({until(view.next_run, view.now)})")
    out_json(view.to_json()) if as_json else out(view.id)


def edited(
    view: ReplicationView, vcenter: str, machines: tuple[Machine, ...], given: dict[str, Any], next_run: str
) -> ReplicationDraft:
    """The replication's answers with what was ``given``. Raises ServiceError for a time that is none."""
    draft = edit_draft(vcenter, machines, view)
    draft.start = next_run
    if "tags" in given:
        draft.tags = ""  # instead of all before
    if given.get("encrypted") is False:
        draft.kms_key = ""
    answer(draft, **given)
    check_readable(draft)
    return draft
