"""``vmie-tui preflight``: what would go wrong with machines, image files and objects in S3, before a byte moves."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack

import click

from vmie_tui.commands import inventory as inventory_command
from vmie_tui.commands.common import json_option, out, out_json, pass_session, say
from vmie_tui.commands.session import Session
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LOGIN, EXIT_OK, EXIT_REFUSED, EXIT_USAGE, exit_code
from vmie_tui.model.errors import ErrorKind, VmieError
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.plan import FileSource, Route, SnapshotSource, VmSource
from vmie_tui.model.preflight import Preflight, cost_words
from vmie_tui.model.verdict import Look
from vmie_tui.operations.connections import open_vcenter, read_only_aws
from vmie_tui.operations.sources import describe_sources, find, machines_of_files, parse_source
from vmie_tui.services.aws.session import Aws
from vmie_tui.services.preflight import on_route, preflight_machine
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.settings import Profile

WIDTH = 100
_LOOKS = {Look.NONE: "its disks were not looked into", Look.PART: "not all of its disks could be read"}
_GLYPHS = {Severity.BLOCKER: "✖", Severity.WARNING: "▲", Severity.INFO: "·"}
_WORST_FIRST = (EXIT_INTERRUPTED, EXIT_LOGIN, EXIT_USAGE, EXIT_FAILED, EXIT_REFUSED)
_WRONG_INPUT = frozenset({ErrorKind.NOT_FOUND, ErrorKind.LOCAL, ErrorKind.CORRUPT})


@click.command("preflight")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--no-content", is_flag=True, help="Machines: look at vCenter's configuration only, not into disks.")
@click.option(
    "--route", type=click.Choice([each.value for each in Route]), help="Judge for this route; image when left out."
)
@click.option("--raw-source", is_flag=True, help="Take files as RAW, whatever their first bytes look like.")
@click.option("--snapshot", is_flag=True, help="Running machines: look through a snapshot, and remove it again.")
@json_option
@pass_session
def preflight_command(
    session: Session,
    /,
    *,
    targets: tuple[str, ...],
    no_content: bool,
    route: str | None,
    raw_source: bool,
    snapshot: bool,
    as_json: bool,
) -> int:
    """Say what would make an import fail, without importing anything.

    TARGET is a VM's name, path or id, a disk image file, s3://bucket/key, or an EBS snapshot's id. A running VM's disks
    can be read through a snapshot only: give --snapshot, or answer the question.

    \b
    Exit code 0 when the disks were read and nothing blocks, 3 when something does, 2 for what cannot be looked at,
    or when no disk could be read (with --no-content none is asked for).
    """
    results: list[Preflight] = []
    codes = {EXIT_OK}
    with ExitStack() as held:
        look = _Looker(session, held, content=not no_content, snapshot=snapshot, ask=not as_json)
        look.route, look.raw = Route(route) if route else None, raw_source
        for target in targets:
            try:
                result = look.at(target)
            except VmieError as error:
                codes.add(EXIT_USAGE if error.kind in _WRONG_INPUT else exit_code(error.kind))
                say(f"vmie-tui: {error if error.problem.subject else f'{target}: {error}'}")
                continue
            codes.add(_code(result, content=not no_content))
            results.append(result)
            if not as_json:
                if len(results) > 1:
                    out("")
                for line in report(result):
                    out(line)
    if as_json:
        out_json([result.to_json() for result in results])
    return next((code for code in _WORST_FIRST if code in codes), EXIT_OK)


def _code(result: Preflight, *, content: bool) -> int:
    """Something that was not read has not passed: only who did not ask for the disks is content without them."""
    if result.blockers:
        return EXIT_REFUSED
    return EXIT_USAGE if content and result.look is Look.NONE else EXIT_OK


class _Looker:
    """Looks at one target after another; connects only to what they need, once."""

    def __init__(self, session: Session, held: ExitStack, *, content: bool, snapshot: bool, ask: bool) -> None:
        self._session, self._held = session, held
        self._content, self._snapshot, self._ask = content, snapshot, ask
        self._machines: tuple[Machine, ...] | None = None
        self._vsphere: VSphere | None = None
        self._aws: Aws | None = None
        self.route: Route | None = None  # None: image, or image-direct for EBS snapshots
        self.raw = False

    def at(self, target: str) -> Preflight:
        """Raises VmieError."""
        settings, given = self._session.settings, parse_source(target)
        if settings.table and self._profile.vcenter is not None:  # a file is looked at without any profile as well
            given = machines_of_files([given], lambda: inventory_command.read(settings))[0]
        if given.kind == VmSource.KIND:
            return self._machine_at(target, self.route or Route.IMAGE)
        raw = self.raw and given.kind == FileSource.KIND
        region = self._profile.aws.region if given.kind == SnapshotSource.KIND else None
        found = describe_sources([given], self._aws_session, region=region, raw=raw, route=self.route)
        assert found.preflight is not None  # a look was asked for
        return found.preflight

    def _machine_at(self, target: str, route: Route) -> Preflight:
        machine = self._machine(target)
        found = preflight_machine(
            self._vcenter(),
            machine,
            content=self._content,
            snapshot=self._may_freeze(machine),
            read_only=self._profile.read_only,
            on_step=lambda words: say(f"{machine.name}: {words}"),
        )
        return on_route(found, route)

    @property
    def _profile(self) -> Profile:
        return self._session.settings.profile()

    def _machine(self, target: str) -> Machine:
        if self._machines is None:
            self._machines = inventory_command.read(self._session.settings).machines
        return find(self._machines, target)

    def _may_freeze(self, machine: Machine) -> bool:
        if not self._content or machine.power is not Power.ON or self._snapshot:
            return self._snapshot
        if self._ask and sys.stdin.isatty() and sys.stderr.isatty() and not self._profile.read_only:
            question = f"{machine.name} is running. Make a snapshot to look into its disks, and remove it again?"
            return click.confirm(question, default=False, err=True)
        say(f"{machine.name} is running: its disks are read with --snapshot only")
        return False

    def _vcenter(self) -> VSphere:
        if self._vsphere is None:
            self._vsphere = self._held.enter_context(open_vcenter(self._profile))
        return self._vsphere

    def _aws_session(self) -> Aws:
        if self._aws is None:
            self._aws = self._held.enter_context(read_only_aws(self._profile))
        return self._aws


# -- words


def report(result: Preflight) -> Iterator[str]:
    """The findings of one target in lines."""
    yield f"{result.target}: {_verdict(result)}"
    for finding in result.findings:
        yield from _finding(finding)
    for note in result.not_inspected:
        yield from _wrapped(f"? not inspected: {note.what}: {note.why}", "  ", "    ")
    yield f"  {cost_words(result)}"


def _verdict(result: Preflight) -> str:
    counted = ((len(result.blockers), "blocker"), (len(result.warnings), "warning"))
    words = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counted if count]
    if result.look is not Look.ALL:
        words.append(_LOOKS[result.look])
    return ", ".join(words) or result.judged.words


def _finding(finding: Finding) -> Iterator[str]:
    why = f". {finding.why}" if finding.why else ""
    yield from _wrapped(f"{_GLYPHS[finding.severity]} {finding.headline}{why}", "  ", "    ")
    if finding.prevents:
        yield from _wrapped(f"AWS would say: {finding.prevents}", "    ", "      ")
    if finding.remedy:
        yield from _wrapped(f"Remedy: {finding.remedy}", "    ", "      ")


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    clean = "".join(char if char.isprintable() else "�" for char in text)  # names come from guests
    return textwrap.wrap(clean, WIDTH, initial_indent=first, subsequent_indent=rest)
