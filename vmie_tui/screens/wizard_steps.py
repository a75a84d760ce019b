"""The five steps of the import wizard; each is a page that reads and writes the one `Draft`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Button, Input

from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.rules.override import Blocked
from vmie_tui.screens.draft import FAMILIES, USAGE, Draft, aws_commands
from vmie_tui.widgets.choice import ChoiceList, Field, Option
from vmie_tui.widgets.lines import LinePane
from vmie_tui.widgets.machine_detail import finding_lines
from vmie_tui.widgets.machines import POWER, short_os, verdict
from vmie_tui.widgets.text import Line, clean, fit, paragraph, plural, size

FOUND = tuple[Machine, tuple[Finding, ...]]


class Step(Vertical):
    """A page. `enter` is called each time it is shown."""

    class Changed(Message):
        """An answer changed."""

    def __init__(self, draft: Draft, *, id: str) -> None:
        super().__init__(id=id)
        self.draft = draft

    def enter(self) -> None:
        """Bring the page up to date with the draft."""

    def cells(self) -> int:
        return max(40, self.app.size.width - 2)


class SourceStep(Step):
    """Which machines, and how running ones are frozen."""

    def compose(self) -> ComposeResult:
        yield LinePane(id="sources")
        if self.draft.running:
            yield ChoiceList(
                "Running VMs",
                (
                    Option("yes", "Quiesced snapshot", "files at rest; needs VMware Tools"),
                    Option("no", "Snapshot as it is", "like after a power cut"),
                ),
                "yes",
                id="quiesce",
            )

    def show_findings(self, found: Iterable[FOUND]) -> None:
        names = max((len(clean(machine.name)) for machine in self.draft.machines), default=8)
        name_cells = min(max(names, 8), 28)
        lines: list[Line] = [((f" {fit('VM', name_cells)}  {fit('Power', 6)}{fit('Guest OS', 20)}", "head"), *_HEAD)]
        for machine, findings in found:
            words, style, _ = verdict(findings)
            power, power_style = POWER[machine.power]
            lines.append(
                (
                    (f" {fit(clean(machine.name), name_cells)}  ", "title"),
                    (fit(power, 6), power_style),
                    (f"{fit(short_os(clean(machine.os_name)), 19)} ", ""),
                    (f"{len(machine.disks):>5}{size(machine.size):>10}   ", ""),
                    (words, style),
                )
            )
        lines.append(())
        total = f"{plural(len(self.draft.machines), 'VM')}, {size(self.draft.size)} of disks."
        lines += paragraph(f"{total} Each becomes one AMI, by a job of its own.", self.cells(), "", ((" ", ""),))
        if self.draft.running:
            words = "Running VMs are copied from a snapshot, which is removed afterwards; they go on running."
            lines += paragraph(words, self.cells(), "dim", ((" ", ""),))
        self.query_one("#sources", LinePane).set_lines(lines)

    @on(ChoiceList.Picked, "#quiesce")
    def _quiesce(self, event: ChoiceList.Picked) -> None:
        self.draft.quiesce = event.value == "yes"


_HEAD: Line = ((f"{'Disks':>5}{'Size':>10}   Verdict", "head"),)


class RouteStep(Step):
    """How the disks get to AWS."""

    def compose(self) -> ComposeResult:
        image = Option("image", "Image", "AWS checks the guest and adds its drivers")
        yield ChoiceList("Route", (image,), "image", id="route")
        vmdk = Option("VMDK", "VMDK stream", "no conversion, nothing on local disk")
        yield ChoiceList("Format", (vmdk,), "VMDK", id="format")
        yield LinePane(id="route-words")

    def enter(self) -> None:
        words = "vCenter exports the disks, they flow through this machine to S3, and AWS makes an AMI of them."
        first: Line = ((f" {fit('What happens', 19)}", "dim"),)
        self.query_one("#route-words", LinePane).set_lines(paragraph(words, self.cells(), "", first))


class LicenceStep(Step):
    """Who licenses the guest."""

    def compose(self) -> ComposeResult:
        yield LinePane(id="systems")
        options = [Option(o.value, o.label, o.note, o.refused) for o in self.draft.licence_options()]
        yield ChoiceList("Licence", options, self.draft.licence, id="licence")
        codes = [Option(code, code, text) for code, text in self.draft.usage_options()]
        yield ChoiceList("Usage operation", codes, "", id="usage")
        yield LinePane(id="licence-words")

    def enter(self) -> None:
        lines: list[Line] = []
        for family in sorted(self.draft.families, key=lambda member: member.value):
            names = ", ".join(m.name for m in self.draft.machines if m.os_family is family)
            systems = ", ".join(
                sorted({short_os(clean(m.os_name)) for m in self.draft.machines if m.os_family is family})
            )
            first: Line = ((f" {fit('Operating system' if not lines else '', 19)}", "dim"),)
            lines += paragraph(f"{FAMILIES[family]}: {systems} ({names})", self.cells(), "", first)
        self.query_one("#systems", LinePane).set_lines([*lines, ()])
        self._show_words()

    def _show_words(self) -> None:
        self.query_one("#usage").display = self.draft.licence == USAGE
        lines: list[Line] = [()]
        for number, words in enumerate(self.draft.licence_words()):
            first: Line = ((f" {fit('What this means' if number == 0 else '', 19)}", "dim"),)
            lines += paragraph(words, self.cells(), "", first)
        self.query_one("#licence-words", LinePane).set_lines(lines)

    @on(ChoiceList.Picked, "#licence")
    def _licence(self, event: ChoiceList.Picked) -> None:
        self.draft.licence = event.value
        self._show_words()
        self.post_message(self.Changed())

    @on(ChoiceList.Picked, "#usage")
    def _usage(self, event: ChoiceList.Picked) -> None:
        self.draft.usage_operation = event.value
        self.post_message(self.Changed())


FIELDS = (
    ("region", "Region", "eu-west-1"),
    ("bucket", "Bucket", "a bucket in that Region"),
    ("prefix", "Prefix", "none"),
    ("role_name", "Service role", "vmimport"),
    ("ami_name", "AMI name", "{vm} is the VM's name"),
    ("description", "Description", "none"),
    ("tags", "Tags", "key=value, key=value"),
)


class TargetStep(Step):
    """Where the AMI is wanted, and what it is called."""

    def compose(self) -> ComposeResult:
        for key, label, hint in FIELDS:
            yield Field(label, getattr(self.draft, key), id=key, placeholder=hint)
        modes = (Option("", "AWS decides"), Option("legacy-bios", "legacy-bios"), Option("uefi", "uefi"))
        yield ChoiceList("Boot mode", modes, self.draft.boot_mode, inline=True, id="boot_mode")
        yield ChoiceList("Encrypt", (Option("", "no"), Option("yes", "yes")), "", inline=True, id="encrypted")
        yield Field("KMS key", self.draft.kms_key, id="kms_key", placeholder="the account's default key")
        yield LinePane(id="target-words")

    def enter(self) -> None:
        self.query_one("#field-kms_key").display = self.draft.encrypted
        mistakes = self.draft.mistakes()
        for key, _, _ in FIELDS:
            self.query_one(f"#field-{key}", Field).set_mistake(mistakes.get(key, ""))
        names = ", ".join(self.draft.ami_name_for(machine) for machine in self.draft.machines)
        first: Line = ((f" {fit('Names', 19)}", "dim"),)
        self.query_one("#target-words", LinePane).set_lines([(), *paragraph(names, self.cells(), "dim", first)])

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        key = event.input.id or ""
        if getattr(self.draft, key, event.value) != event.value:
            setattr(self.draft, key, event.value.strip())
            self.enter()
            self.post_message(self.Changed())

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.screen.focus_next()

    @on(ChoiceList.Picked)
    def _picked(self, event: ChoiceList.Picked) -> None:
        if event.choice.id == "encrypted":
            self.draft.encrypted = bool(event.value)
            self.draft.kms_key = self.draft.kms_key if event.value else ""
        else:
            self.draft.boot_mode = event.value
        self.enter()
        self.post_message(self.Changed())


class ReviewStep(Step):
    """What will happen, what stands in the way, and the start."""

    def compose(self) -> ComposeResult:
        yield LinePane(id="review")
        yield Button("Start", id="start", variant="success", compact=True)

    def enter(self) -> None:
        self.query_one("#start", Button).disabled = True  # until the rules have looked

    def show_findings(
        self, found: Iterable[FOUND], blocked: Mapping[str, Blocked], mistakes: dict[str, str], looked: Collection[str]
    ) -> None:
        """``blocked`` by moid; ``looked``: the moids of machines whose disks were inspected."""
        firm = bool(mistakes) or any(some.firm for some in blocked.values())
        soft = sum(bool(some.soft) for some in blocked.values())
        start = self.query_one("#start", Button)
        start.disabled = firm or not blocked
        count = plural(len(self.draft.machines), "import")
        start.label = f" Force {count}… " if soft else f" Start {count} "
        cells, margin = self.cells(), ((" ", ""),)
        lines: list[Line] = []
        if firm:
            lines += paragraph("This cannot start yet: correct what is marked ✖.", cells, "bad", margin)
        elif soft:
            words = f"{plural(soft, 'VM')} blocked. To start all the same, type each one's name when asked."
            lines += paragraph(words, cells, "bad", margin)
        for text in mistakes.values():
            lines += paragraph(f"{text}.", cells, "", ((" ", ""), ("✖ ", "bad")))
        for machine, findings in found:
            words, style, _ = verdict(findings)
            note = "" if machine.moid in looked else "  disks not inspected: p looks"
            lines.append(((f" {clean(machine.name)}  ", "title"), (words, style), (note, "dim")))
            for finding in findings:
                if finding.severity is not Severity.INFO:
                    lines += finding_lines(finding, cells - 1, indent="   ")
        lines += self._moving(cells)
        if not mistakes:
            lines += self._command(cells)
        self.query_one("#review", LinePane).set_lines(lines)

    def _moving(self, cells: int) -> list[Line]:
        draft = self.draft
        on = sum(machine.power is Power.ON for machine in draft.machines)
        words = (
            f"At most {size(draft.size)}: empty blocks are left out and the rest is compressed. "
            f"To s3://{draft.bucket}/{draft.prefix} in {draft.region}, then ImportImage with role {draft.role_name}."
        )
        lines: list[Line] = [(), *paragraph(words, cells, "", ((f" {fit('Bytes to move', 15)}", "dim"),))]
        if on:
            lines += paragraph(f"{plural(on, 'running VM')} copied from a snapshot.", cells, "", ((" " * 16, ""),))
        return lines

    def _command(self, cells: int) -> list[Line]:
        lines: list[Line] = [(), ((" The same by hand, once the disks are uploaded (y copies)", "dim"),)]
        text = aws_commands(self.draft.plans(), self.draft.machines, wrapped=True)
        for row in text.strip().split("\n"):
            indent = len(row) - len(row.lstrip())
            lines += paragraph(row.strip(), cells, "info", ((" " * (indent + 1), ""),))
        return lines
