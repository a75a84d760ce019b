"""The proof of a job: what the source sent, what arrived and what AWS holds now, compared when the page is opened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.model.proof import Proof
from vmie_tui.screens.frame.actions import PROOF, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.proof import VERDICTS, markdown, proof_lines
from vmie_tui.widgets.text import Line, clean


class ProofScreen(Copying):
    MODE = "jobs"
    ACTIONS = PROOF
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(PROOF)]
    CSS_PATH = style_sheet(__file__)

    class Step(Message):
        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ProofScreen.Step)

    class Compared(Message):
        def __init__(self, proof: Proof | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.proof, self.problem = proof, problem

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__()
        self._job_id, self._called = job_id, name
        self._step = ""
        self._proof: Proof | None = None
        self._problem: Problem | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield LinePane(id="proof")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#proof", LinePane).focus()
        self.action_again(False)

    def action_again(self, all_blocks: bool) -> None:
        if self._step:
            self.tell(f"Still busy: {self._step}.")
            return
        self._step, self._problem = "asking AWS", None
        self._draw()
        self._compare(all_blocks)

    @work(thread=True, exclusive=True, group="proof", exit_on_error=False)
    def _compare(self, all_blocks: bool) -> None:
        worker = get_current_worker()
        try:
            proof = self.operations.jobs.proof(self._job_id, all_blocks=all_blocks, on_step=self._tell_step)
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            if not worker.is_cancelled:
                self.post_message(self.Compared(None, problem_of(error)))
        else:
            if not worker.is_cancelled:
                self.post_message(self.Compared(proof))

    def _tell_step(self, words: str) -> None:
        self.post_message(self.Step(words))

    @on(Step)
    def _stepped(self, event: Step) -> None:
        if self._step:
            self._step = event.words
            self._draw()

    @on(Compared)
    def _has_compared(self, event: Compared) -> None:
        self._step, self._problem = "", event.problem
        self._proof = event.proof or self._proof
        self._draw(top=True)
        if event.problem is not None and event.problem.kind is ErrorKind.LOGIN:
            self.host.action_login()

    def _draw(self, *, top: bool = False) -> None:
        pane = self.query_one("#proof", LinePane)
        cells = pane.text_width()
        lines: list[Line] = []
        if self._problem is not None:
            lines += [*problem_lines(self._problem, cells, margin=" "), ()]
        if self._step:
            lines += [((f" {clean(self._step)}…", "busy"),), ()]
        if self._proof is not None:
            lines += proof_lines(self._proof, cells)
        pane.set_lines(lines, top=top)
        words, style = VERDICTS[self._proof.equal] if self._proof is not None else ("", "")
        title = f" Proof  {clean(self._called)}  "
        self.query_one("#summary", OneLine).show((title, "title"), (words, style), (f"   job {self._job_id}", "dim"))

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def action_copy(self) -> None:
        if self._proof is None:
            self.tell("There is no proof yet.", error=True)
        else:
            self.copy(f"proof-{self._job_id}.md", markdown(self._proof))
