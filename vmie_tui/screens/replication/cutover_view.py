"""The steps of a cutover, made of what is recorded: whoever looks, and whenever, sees it where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmie_tui.model.formatting import duration, one_line
from vmie_tui.model.job import JobView
from vmie_tui.model.replication import ReplicationView, Run, RunState, stamp, until
from vmie_tui.screens.replication.run_now import refused
from vmie_tui.services.aws.ec2.launch import InstanceState
from vmie_tui.widgets.jobs import stage_lines
from vmie_tui.widgets.machine_detail import heading
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.replication_runs import active_words
from vmie_tui.widgets.replications import run_glyph, run_words
from vmie_tui.widgets.text import Cell, Line, bar, clean, fit, join, paragraph, percent

DAY = 86_400.0
DONE, HERE, LATER, BAD = ("✔", "ok"), ("◐", "mark"), ("○", "dim"), ("✖", "bad")
BAR_CELLS = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known. ``members``: of its group, itself too, in their order; empty without a group.

    ``test``: a test instance of the newest AMI, "" for none, None: not asked yet. ``state``: of what the cutover has
    launched. ``forecast``: in words. ``notes``: what was done from this page.
    """

    view: ReplicationView
    members: tuple[ReplicationView, ...] = ()
    job: JobView | None = None
    test: str | None = None
    state: InstanceState | None = None
    forecast: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def final_run(view: ReplicationView) -> Run | None:
    """The cutover's run that counts now: one at work, or the newest of all; not one that others followed."""
    for run in view.runs:
        if run.state is RunState.MISSED:
            continue
        return run if run.cutover else None
    return None


def gone_back(seen: Seen) -> bool:
    """Whether what the cutover has launched does not run any more."""
    return seen.state is not None and seen.state.state in {"stopping", "stopped", "shutting-down", "terminated"}


def may_again(seen: Seen, run: Run) -> bool:
    """Whether the machine can be cut over once more: it did not come to its end, or one has gone back from it."""
    return run.state.over and (run.state is not RunState.COMPLETED or gone_back(seen))


def members_of(view: ReplicationView, every: Sequence[ReplicationView]) -> tuple[ReplicationView, ...]:
    """All of its group in the order they are started in; none for one without a group."""
    group = view.spec.group
    found = [
        one for one in every if group and one.spec.group == group and one.spec.plan.profile == view.spec.plan.profile
    ]
    return tuple(sorted(found, key=lambda one: (one.spec.order, one.name.casefold())))


def newest(view: ReplicationView) -> Run | None:
    """The run whose AMI is the newest that is kept."""
    return next((run for run in view.runs if run.image_id and not run.image_gone), None)


def cutover_lines(seen: Seen, cells: int) -> list[Line]:
    """The five steps, each with its mark."""
    run = final_run(seen.view)
    over = run is not None and run.state.over
    free = run is None or may_again(seen, run)
    lines = _group(seen, cells)
    lines += _head(1, "Test launch of the newest AMI", DONE if seen.test or run else HERE, cells)
    lines += _test(seen, cells) if free else []  # what comes before the final run is over with it
    lines += _head(2, "Forecast", DONE if run else HERE, cells)
    lines += [line for words in seen.forecast if free for line in _words(words, cells, _alarm(words))]
    lines += _head(3, "Final run", DONE if run else LATER, cells)
    lines += _final(seen, run, cells)
    lines += _head(4, "Progress", LATER if run is None else _mark(run), cells)
    lines += _progress(seen, run, cells)
    lines += _head(5, "Result", _mark(run) if run is not None and over else LATER, cells)
    lines += _result(seen, run, cells)
    if seen.notes:
        lines += [heading("Done here", cells)]
        lines += [line for note in seen.notes for line in paragraph(note, cells - 1, "", ((" · ", "dim"),))]
    return lines


def _head(number: int, title: str, mark: Cell, cells: int) -> list[Line]:
    return [heading(f"{mark[0]} {number} {title}", cells)]


def _words(text: str, cells: int, style: str = "") -> list[Line]:
    return paragraph(text, cells - 1, style, (("   ", ""),))


def _alarm(words: str) -> str:
    return "warn" if words.startswith("It will not converge") else ""


def _mark(run: Run) -> Cell:
    if not run.state.over:
        return HERE
    return DONE if run.state is RunState.COMPLETED else BAD


def _group(seen: Seen, cells: int) -> list[Line]:
    if len(seen.members) < 2:
        return []
    words = []
    for one in seen.members:
        run = final_run(one)
        glyph = run_glyph(run, None)[0] if run is not None else "○"
        here = f"[{one.name}]" if one.id == seen.view.id else one.name
        words.append(f"{one.spec.order}: {glyph} {here}")
    first: Line = ((f" Group {clean(seen.view.spec.group)}  ", "title"),)
    return [
        *paragraph("   ".join(words), cells - 1, "", first),
        *_words("n and N go from one to the next.", cells, "dim"),
    ]


# -- 1


def _test(seen: Seen, cells: int) -> list[Line]:
    view, made = seen.view, newest(seen.view)
    if made is None:
        return _words("There is no AMI yet: the first run makes one. The final run copies all then.", cells, "warn")
    frozen = made.figures.frozen if made.figures and made.figures.frozen else made.started or made.scheduled
    age, every = view.now - frozen, view.spec.every_hours * 3_600.0 or DAY
    lines = _words(join([made.image_id, f"frozen {stamp(frozen)}, {until(frozen, view.now)}"]), cells)
    if age > every:
        longer = "a day" if view.spec.once else f"its interval of {view.spec.every_hours} h"
        lines += _words(
            f"▲ It is {duration(age)} old, more than {longer}: a run before the test shows more.", cells, "warn"
        )
    if seen.test:
        return lines + _words(f"{seen.test} runs of it: t looks at its checks, console and picture.", cells, "ok")
    words = "t launches a test instance of it, isolated, to see that it boots. It can be left out."
    return lines + _words(words if seen.test is not None else "looking for a test instance…", cells, "dim")


# -- 3


def _final(seen: Seen, run: Run | None, cells: int) -> list[Line]:
    view = seen.view
    if run is not None:
        asked = (
            f"{run.id}, begun {stamp(run.started or run.scheduled)}, {until(run.started or run.scheduled, view.now)}"
        )
        lines = _words(asked, cells)
        if not may_again(seen, run):
            return lines
        why = refused(view)
        again = "c cuts it over once more." if why is None else str(why)
        return lines + _words(again, cells, "" if why is None else "warn")
    why = refused(view)
    if why is not None:
        return problem_lines(why, cells, margin="   ", retry="")
    what = (
        "c begins it, once the name was typed: VMware Tools shut the guest down, the last changes are copied, an AMI "
        "is made and launched. The VM stays off, its disks stay as they are, and the schedule is paused."
    )
    return _words(what, cells)


# -- 4


def _progress(seen: Seen, run: Run | None, cells: int) -> list[Line]:
    if run is None:
        return _words("Not begun.", cells, "dim")
    glyph, style = run_glyph(run, seen.job)
    lines: list[Line] = []
    if run.state is RunState.ACTIVE and run.fraction is not None:
        shown = (bar(run.fraction, BAR_CELLS), "busy"), (f" {percent(run.fraction)}", "")
        lines.append((("   ", ""), *shown))
    words = active_words(run, seen.job) if run.state is RunState.ACTIVE else run_words(run, seen.job)
    lines += paragraph(words, cells - 1, style, (("   ", ""), (f"{glyph} ", style)))
    if run.message and one_line(run.message) not in words:
        lines += _words(one_line(run.message), cells)
    if seen.job is not None:
        lines += [((("   ", ""), *line)) for line in stage_lines(seen.job, cells - 4)]
        if seen.job.problem is not None:
            lines += problem_lines(seen.job.problem, cells, margin="   ", retry="enter opens the run, r there retries.")
    return lines


# -- 5


def _result(seen: Seen, run: Run | None, cells: int) -> list[Line]:
    if run is None or not run.state.over:
        return _words("Not yet.", cells, "dim")
    name = clean(seen.view.name)
    lines: list[Line] = []
    if run.instance_id:
        state = seen.state
        stands = join([state.state, state.reason], ": ") if state is not None else "asking AWS…"
        checks = "" if state is None or state.state != "running" else _checks(state)
        lines += paragraph(join([run.instance_id, stands, checks]), cells - 1, _style(state), (("   ", ""),))
        if state is not None and state.state == "running":
            lines += _labelled("Address", join([state.private_address, state.public_address]), cells)
    elif run.state is RunState.COMPLETED:
        lines += _words("No instance was launched.", cells, "warn")
    else:
        lines += _words(
            f"It did not come to its end. {name} may be shut down: see vCenter, or roll back.", cells, "bad"
        )
    lines += _labelled("AMI", run.image_id, cells)
    if gone_back(seen):
        paused = " The schedule is paused: p in the list of replications goes on with it." if seen.view.paused else ""
        return lines + _labelled("Since", f"It does not run any more; {name} is what counts.{paused}", cells)
    stops = f"{run.instance_id} is stopped and keeps its volumes, " if run.instance_id else ""
    back = f"R: {stops}{name} is powered on in vCenter. What was written in EC2 since stays on those volumes alone."
    return lines + _labelled("Way back", back, cells)


def _checks(state: InstanceState) -> str:
    if state.healthy:
        return "both checks passed"
    return f"checks: system {state.system_check or 'waits'}, instance {state.instance_check or 'waits'}"


def _style(state: InstanceState | None) -> str:
    if state is None or state.state in {"pending", "stopping"}:
        return "busy"
    return {"running": "ok" if state.healthy or not state.settled else "bad"}.get(state.state, "warn")


def _labelled(label: str, text: str, cells: int) -> list[Line]:
    return paragraph(text, cells - 1, "", ((f"   {fit(label, 9)}", "dim"),)) if text else []


def text_of(seen: Seen) -> str:
    """What is copied."""
    run, words = final_run(seen.view), [f"Cutover of {clean(seen.view.name)} ({seen.view.id})"]
    if run is not None:
        words += [f"Run: {run.id} {run.state.value}"]
        words += [f"AMI: {run.image_id}"] if run.image_id else []
        words += [f"Instance: {run.instance_id}"] if run.instance_id else []
    return "\n".join([*words, *seen.forecast, *seen.notes]) + "\n"
