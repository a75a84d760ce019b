"""How an instance or AMI is exported: format and place asked for, judged as they are typed, started as a job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input
from textual.worker import get_current_worker

from vmie_tui.model.deploy_places import DeployChoice
from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.model.export import CONVERT_TO, ExportPlan
from vmie_tui.model.exportable import Exportable, ExportBucket
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import plural
from vmie_tui.operations.export_plan import ExportDraft, export_command, format_choices, new_draft, target_choices
from vmie_tui.screens.exports.deploy_places import DeployScreen
from vmie_tui.screens.exports.grant_diff import DiffScreen
from vmie_tui.screens.frame.actions import EXPORT_FORM, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ForceScreen
from vmie_tui.services.aws.s3.export_bucket import BucketReport
from vmie_tui.widgets.choice import ChoiceList, Field
from vmie_tui.widgets.exports import SourceRow
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.machine_detail import finding_lines
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean, paragraph

YES_NO = (Option("", "no"), Option("yes", "yes"))


class ExportFormScreen(Copying):
    """Dismisses with True once the job was started."""

    MODE = "exports"
    ACTIONS = EXPORT_FORM
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EXPORT_FORM)]
    CSS_PATH = style_sheet(__file__)

    class Looked(Message):
        """What AWS says of the source (None: not asked again) and of the bucket."""

        def __init__(self, thing: Exportable | None, report: BucketReport | None, problem: Problem | None) -> None:
            super().__init__()
            self.thing, self.report, self.problem = thing, report, problem

    class Judged(Message):
        def __init__(self, plan: ExportPlan, found: tuple[Finding, ...]) -> None:
            super().__init__()
            self.plan, self.found = plan, found

    class Submitted(Message):
        def __init__(self, job_id: str, problem: Problem | None = None) -> None:
            super().__init__()
            self.job_id, self.problem = job_id, problem

    def __init__(self, row: SourceRow, region: str) -> None:
        super().__init__()
        self._thing, self._region = row.thing, region
        self._report: BucketReport | None = None
        self._problem: Problem | None = None
        self._busy = ""
        self._found: tuple[Finding, ...] = ()
        self.draft: ExportDraft

    def compose_body(self) -> Iterable[Widget]:
        draft = self.draft = new_draft(self.operations.profile, self._thing.id, self._region)
        draft.take(self._thing)
        yield OneLine(id="summary")
        with Vertical(id="fields"):
            if draft.is_instance:
                yield ChoiceList("To run on", target_choices(), draft.target, inline=True, id="target")
            yield ChoiceList("Format", format_choices(draft), draft.form, inline=True, id="form")
            yield Field("Bucket", draft.bucket, id="bucket", placeholder=f"a bucket in {self._region}")
            yield Field("Prefix", draft.prefix, id="prefix", placeholder="none; a folder gets its slash")
            if not draft.is_instance:
                yield Field("Service role", draft.role_name, id="role_name", placeholder="vmimport")
            yield Field("Download to", draft.download_to, id="download_to", placeholder="a folder here; empty: no")
            yield Field("Convert to", "", id="convert_to", placeholder=f"{', '.join(CONVERT_TO)}; empty: no")
            yield ChoiceList("Delete object", YES_NO, "", inline=True, id="clean_up")
        yield LinePane(id="found")
        with Horizontal(id="buttons"):
            yield Button("Start the export", id="start", compact=True)
            yield Button("Into vCenter…", id="deploy", compact=True)
            yield Button("Allow the export service…", id="grant", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#fields").query("ChoiceList, Input").first().focus()
        self.action_look()

    # -- AWS, in threads

    def action_look(self) -> None:
        """Read the source and the bucket."""
        self._read(self.draft.bucket, source=True)

    def _read(self, bucket: str, *, source: bool) -> None:
        self._busy = "looking at it and the bucket" if source else f"looking at {bucket}"
        self._report, self._problem = None, None
        self._look(bucket, source=source)
        self._judge()

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self, bucket: str, *, source: bool) -> None:
        worker = get_current_worker()
        thing, report, problem = None, None, None
        try:
            if source:
                thing = self.operations.exports.look(self._region, self.draft.source_id)
            if bucket:
                report = self.operations.exports.bucket(self._region, bucket, instance=self.draft.is_instance)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            problem = problem_of(error)
        if not worker.is_cancelled:
            self.post_message(self.Looked(thing, report, problem))

    @on(Looked)
    def _has_looked(self, event: Looked) -> None:
        self._busy, self._problem = "", event.problem
        self._thing, self._report = event.thing or self._thing, event.report
        self.draft.take(self._thing)
        self._judge()

    def _judge(self) -> None:
        self._check(replace(self.draft), self._thing, self._report.bucket if self._report is not None else None)

    @work(thread=True, exclusive=True, group="judge", exit_on_error=False)
    def _check(self, draft: ExportDraft, thing: Exportable, bucket: ExportBucket | None) -> None:
        found = draft.findings(thing, bucket)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Judged(draft.plan(), found))

    @on(Judged)
    def _was_judged(self, event: Judged) -> None:
        if event.plan == self.draft.plan():
            self._found = event.found
            self._draw()

    # -- what is shown

    def _blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self._found if finding.severity is Severity.BLOCKER)

    def _draw(self) -> None:
        pane = self.query_one("#found", LinePane)
        cells = pane.text_width()
        mistakes = self.draft.mistakes()
        for key in ("bucket", "prefix", "download_to", "convert_to", "role_name"):
            for field in self.query(f"#field-{key}").results(Field):
                field.set_mistake(mistakes.get(key, ""))
        lines: list[Line] = (
            problem_lines(self._problem, cells, margin=" ", retry="^r looks again.") if self._problem else []
        )
        for finding in self._found:
            lines += finding_lines(finding, cells, indent=" ")
        for note in self._report.notes if self._report is not None else ():
            lines += paragraph(f"{note}.", cells, "dim", ((" · ", "dim"),))
        if not (lines or self._busy):
            lines = [((" ✔ Nothing found that stands in the way.", "ok"),)]
        plan = self.draft.plan()
        key = plan.object_key(f"export-{'i' if self.draft.is_instance else 'ami'}-…")
        lines += paragraph(f"s3://{self.draft.bucket or '…'}/{key}", cells, "dim", ((" Object   ", "dim"),))
        if self.draft.deploy is not None:
            lines += paragraph(clean(self.draft.deploy.where), cells, "dim", ((" vCenter  ", "dim"),))
        if plan.bucket and not mistakes:
            lines += paragraph(clean(export_command(plan, self.draft.deploy)), cells, "info", ((" By hand  ", "dim"),))
        pane.set_lines(lines)
        self.set_class(self._report is not None and bool(self._report.grant), "-grantable")
        self.query_one("#start", Button).disabled = bool(self._busy or mistakes)
        blockers = len(self._blockers())
        words = (f"  ✖ {plural(blockers, 'blocker')}", "bad") if blockers else ("", "")
        busy = (f"  {self._busy}…" if self._busy else "", "busy")
        self.query_one("#summary", OneLine).show(
            (f" Export {self.draft.name}", "title"), (f"  {self.draft.source_id}", "dim"), words, busy
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    # -- answers

    @on(ChoiceList.Picked)
    def _picked(self, event: ChoiceList.Picked) -> None:
        draft = self.draft
        match event.choice.id:
            case "target":
                draft.choose_target(event.value)
                self.query_one("#form", ChoiceList).set_options(format_choices(draft), draft.form)
            case "form":
                draft.form = event.value
            case "clean_up":
                draft.clean_up = bool(event.value)
        self._judge()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        key, value = event.input.id or "", event.value.strip()
        if getattr(self.draft, key, value) != value:
            setattr(self.draft, key, value)
            if key == "bucket":
                self._report = None
            self._judge()

    @on(Input.Blurred, "#bucket")
    @on(Input.Submitted, "#bucket")
    def _bucket_entered(self) -> None:
        """The bucket is read when its name is typed to the end."""
        known = self._report.bucket.name if self._report is not None else ""
        if self.draft.bucket and self.draft.bucket != known and "bucket" not in self.draft.mistakes():
            self._read(self.draft.bucket, source=False)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.focus_next()

    # -- into vCenter

    @on(Button.Pressed, "#deploy")
    def action_deploy(self) -> None:
        """Choose where in vCenter a machine is to be made of it; nothing is made before the export is started."""

        def answered(chosen: DeployChoice | str | None) -> None:
            if chosen is None:
                return
            self.draft.deploy = chosen if isinstance(chosen, DeployChoice) else None
            self._judge()

        name = self.draft.name if self.draft.name != self.draft.source_id else ""
        self.app.push_screen(DeployScreen(name, self.draft.deploy), answered)

    def action_copy(self) -> None:
        mistakes = self.draft.mistakes() or ({} if self.draft.bucket else {"bucket": "no bucket was chosen"})
        if mistakes:
            self.tell(f"There is no such command: {next(iter(mistakes.values()))}.", error=True)
        else:
            self.copy("export.sh", export_command(self.draft.plan(), self.draft.deploy) + "\n")

    # -- the bucket's grant

    @on(Button.Pressed, "#grant")
    def action_grant(self) -> None:
        """Show the exact change; it is made only when that is confirmed."""
        report = self._report
        if report is None or not report.grant:
            self.tell("The bucket needs no change." if report is not None else "The bucket was not looked at yet.")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._busy = f"changing {report.bucket.name}"
                self._grant(report)
                self._draw()

        self.app.push_screen(DiffScreen(report), answered)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _grant(self, report: BucketReport) -> None:
        try:
            after = self.operations.exports.grant(self._region, report)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Looked(None, report, problem_of(error)))
        else:
            self.post_message(self.Looked(None, after, None))
            self.app.call_from_thread(self.tell, f"{report.bucket.name} was changed as shown.")

    # -- start

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        mistakes = self.draft.mistakes()
        if self._busy or mistakes:
            self.tell(f"Not yet: {self._busy or next(iter(mistakes.values()))}.", error=bool(mistakes))
            return
        blockers = self._blockers()
        if not blockers:
            self._start(())
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._start(tuple(finding.headline for finding in blockers))
            else:
                self.tell(f"Nothing was started: {self.draft.name} is blocked.")

        self.app.push_screen(ForceScreen(self.draft.name, blockers, verb="export"), answered)

    def _start(self, override: tuple[str, ...]) -> None:
        self._busy = "starting"
        self._draw()
        self._submit(replace(self.draft.plan(), override=override))

    @work(thread=True, exclusive=True, group="submit", exit_on_error=False)
    def _submit(self, plan: ExportPlan) -> None:
        try:
            job_id = self.operations.jobs.submit_at_once(plan)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Submitted("", problem_of(error)))
        else:
            self.post_message(self.Submitted(job_id))

    @on(Submitted)
    def _was_submitted(self, event: Submitted) -> None:
        self._busy = ""
        if event.problem is not None:
            self.tell(f"{self.draft.name} was not started. {event.problem}", error=True)
            self._draw()
            return
        self.host.wanted_job = event.job_id
        self.host.poll_now()
        self.dismiss(True)

    def action_back(self) -> None:
        self.dismiss(False)
