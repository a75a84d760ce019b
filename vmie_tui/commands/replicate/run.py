"""``vmie-tui replicate run``: runs beside the schedule."""

from __future__ import annotations

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.replicate.common import follow, made_words, name_of
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_OK
from vmie_tui.model.replication import Run, Sync, Verify

RESYNC = {"full": Sync.FULL, "checksum": Sync.CHECKSUM}


@click.command("run")
@click.argument("idents", nargs=-1, metavar="[ID...]")
@click.option("--group", metavar="NAME", help="All servers of this group, in their order, instead of IDs.")
@click.option(
    "--resync",
    type=click.Choice(list(RESYNC)),
    help="Copy all again; or read all, and send what differs by its SHA-256.",
)
@click.option(
    "--verify", type=click.Choice([each.value for each in Verify]), help="What is read back this time; as was decided."
)
@click.option("--wait", is_flag=True, help="Wait until the runs are over.")
@json_option
@pass_session
def run(
    session: Session,
    /,
    *,
    idents: tuple[str, ...],
    group: str | None,
    resync: str | None,
    verify: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Start a run now, besides the schedule: at most two within 24 hours, and none while another is at work.

    \b
    Examples: vmie-tui replicate run web-01 --wait
              vmie-tui replicate run web-01 --resync checksum --verify all
              vmie-tui replicate run --group shop
    """
    if bool(idents) == (group is not None):
        raise click.UsageError("give IDs, or --group NAME")
    if group is not None and (resync or verify):
        raise click.UsageError("--resync and --verify belong to IDs")
    replications = session.operations.replications
    if group is not None:
        started = set(replications.start_group(group, None))
    else:
        how, back = RESYNC.get(resync or ""), Verify(verify) if verify else None
        views = replications.jobs.find_all(idents)
        started = {replications.run_now(view.id, resync=how, verify=back, cutover=None) for view in views}
    pairs = [(view, each) for view in replications.jobs.views() for each in view.runs if each.id in started]
    pairs.sort(key=lambda pair: (pair[0].spec.order, pair[0].name))
    for view, each in pairs:
        say(f"{name_of(view)}: run {each.id}")
    if not wait:
        _print([each for _, each in pairs], as_json=as_json, wait=False)
        return EXIT_OK
    runs, code = follow(session, [(view.id, each.id) for view, each in pairs])
    _print(runs, as_json=as_json, wait=True)
    return code


def _print(runs: list[Run], *, as_json: bool, wait: bool) -> None:
    if as_json:
        out_json([each.to_json() for each in runs])
        return
    for each in runs:
        out(f"{each.id}  {made_words(each)}" if wait else each.id)
