"""The proof of a job: what the source sent, what arrived and what AWS holds now, compared when the page is opened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from vmie_tui.model.proof import Proof
from vmie_tui.screens.frame.actions import PROOF, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.call_page import CallPage
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.proof import VERDICTS, markdown, proof_lines
from vmie_tui.widgets.text import Line, clean


class ProofScreen(CallPage):
    MODE = "jobs"
    ACTIONS = PROOF
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(PROOF)]
    CSS_PATH = style_sheet(__file__)

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__()
        self._job_id, self._called = job_id, name
        self._proof: Proof | None = None

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
        jobs, job_id = self.operations.jobs, self._job_id
        self._call(lambda on_step: jobs.proof(job_id, all_blocks=all_blocks, on_step=on_step))

    def take_answer(self, answer: Proof | None) -> None:
        self._proof = answer or self._proof

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
