"""``vmie-tui replicate run``, ``pause``, ``resume``, ``extend``, ``delete`` and ``advance``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from vmie_tui.commands.common import json_option, out, out_json, pass_session, say, sure, yes_option
from vmie_tui.commands.replicate.common import client_of, find_all, follow, ids_argument, made_words, name_of
from vmie_tui.commands.session import Session
from vmie_tui.commands.tasks import AgeType
from vmie_tui.model.errors import EXIT_OK, ErrorKind, ServiceError
from vmie_tui.model.formatting import duration
from vmie_tui.model.replication import ReplicationView, Run, Sync, Verify, stamp, until

if TYPE_CHECKING:
    from vmie_tui.operations.replication_jobs import ReplicationClient

RESYNC = {"full": Sync.FULL, "checksum": Sync.CHECKSUM}


# -- run


@click.command("run")
@ids_argument(required=False)
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
    with client_of(session) as client:
        if group is not None:
            profile = session.settings.profile().name
            started = set(client.start_group(profile, group))
        else:
            how, back = RESYNC.get(resync or ""), Verify(verify) if verify else None
            started = {client.run_now(view.id, resync=how, verify=back) for view in find_all(client, idents)}
        pairs = [(view, each) for view in client.views() for each in view.runs if each.id in started]
        pairs.sort(key=lambda pair: (pair[0].spec.order, pair[0].name))
        for view, each in pairs:
            say(f"{name_of(view)}: run {each.id}")
        if not wait:
            _print([each for _, each in pairs], as_json=as_json, wait=False)
            return EXIT_OK
        runs, code = follow(session, client, [(view.id, each.id) for view, each in pairs])
    _print(runs, as_json=as_json, wait=True)
    return code


def _print(runs: list[Run], *, as_json: bool, wait: bool) -> None:
    if as_json:
        out_json([each.to_json() for each in runs])
        return
    for each in runs:
        out(f"{each.id}  {made_words(each)}" if wait else each.id)


# -- pause, resume


def _steer(name: str, doc: str, done: str, act: Callable[[ReplicationClient, str], None]) -> click.Command:
    @click.command(name, help=doc)
    @ids_argument()
    @json_option
    @pass_session
    def command(session: Session, idents: tuple[str, ...], as_json: bool) -> None:
        with client_of(session) as client:
            views = find_all(client, idents)
            for view in views:
                act(client, view.id)
                say(f"{name_of(view)}: {done}")
            _show([client.view(view.id) for view in views], as_json=as_json)

    return command


pause = _steer(
    "pause",
    "Start no further runs of these; one that is at work goes on.",
    "paused",
    lambda client, ident: client.pause(ident),
)
resume = _steer(
    "resume",
    "Go on with the schedule; after failures too.",
    "resumed",
    lambda client, ident: client.resume(ident),
)


def _show(views: list[ReplicationView], *, as_json: bool) -> None:
    """Their ids as data; when they run next is narrated."""
    if as_json:
        out_json([view.to_json() for view in views])
        return
    for view in views:
        if view.next_run is not None and not view.paused:
            say(f"{view.id}: next run {stamp(view.next_run)} ({until(view.next_run, view.now)})")
        out(view.id)


# -- extend


@click.command("extend")
@ids_argument()
@click.option("--days", type=click.IntRange(1), required=True, metavar="N", help="So many days more.")
@json_option
@pass_session
def extend(session: Session, idents: tuple[str, ...], days: int, as_json: bool) -> None:
    """Ask for more than the 90 days that a VM is replicated, before or after they are over.

    \b
    Example: vmie-tui replicate extend web-01 --days 30
    """
    with client_of(session) as client:
        views = find_all(client, idents)
        for view in views:
            client.extend(view.id, days)
        views = [client.view(view.id) for view in views]
    for view in views:
        ends = f", until {stamp(view.ends)}" if view.ends is not None else ""
        say(f"{name_of(view)}: {view.days} days{ends}")
    _show(views, as_json=as_json)


# -- delete


@click.command("delete")
@ids_argument()
@yes_option
@json_option
@pass_session
def delete(session: Session, idents: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """End replications: a run at work is cancelled, what was only for the next run is removed. AMIs stay.

    \b
    Example: vmie-tui replicate delete web-01 --yes
    """
    with client_of(session) as client:
        views = find_all(client, idents)
        names = ", ".join(f"{name_of(view)} ({view.id})" for view in views)
        sure(f"Delete the replication of {names}? Its AMIs stay.", yes)
        for view in views:
            client.delete(view.id)
            say(f"{name_of(view)}: delete requested; AMIs that stay: {len(view.images)}")
        _show([client.view(view.id) for view in views], as_json=as_json)


# -- the simulators' clock


@click.command("advance")
@click.argument("span", metavar="DURATION", type=AgeType())
@json_option
@pass_session
def advance(session: Session, span: timedelta, as_json: bool) -> None:
    """Set the simulated clock of a demo forward: 30m, 12h, 3d. Runs that fall due meanwhile are started, or missed.

    \b
    Example: vmie-tui --profile demo replicate advance 12h
    """
    from vmie_tui.clock import clock_of

    profile = session.settings.profile()
    clock = clock_of(session.settings.state_dir, profile)
    if not clock.simulated:
        raise ServiceError(
            ErrorKind.REFUSED,
            "its schedules follow the wall clock, which is not ours to set",
            subject=f"profile {profile.name}",
            remedy="The clock of the simulators can be set: --profile demo",
        )
    now = clock.advance(span.total_seconds())
    with client_of(session) as client:
        client.ensure_worker_for_schedules()
    say(f"{duration(span.total_seconds())} later")
    out_json({"profile": profile.name, "now": now}) if as_json else out(stamp(now))
