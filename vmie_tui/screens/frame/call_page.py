"""A page with the answer of one long call, which says in words what it is doing meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import on, work
from textual.message import Message
from textual.worker import get_current_worker

from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.screens.frame.clipboard import Copying


class CallPage(Copying):
    """A new call replaces the one before it."""

    class Step(Message):
        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, CallPage.Step)

    class Answered(Message):
        def __init__(self, answer: Any, problem: Problem | None = None) -> None:
            super().__init__()
            self.answer, self.problem = answer, problem

    def __init__(self) -> None:
        super().__init__()
        self._step = ""  # what the call is doing; "" when there is none
        self._problem: Problem | None = None  # of the last call

    def take_answer(self, answer: Any) -> None:
        """Keep what the call returned; None when it failed."""
        raise NotImplementedError

    def _draw(self, *, top: bool = False) -> None:
        raise NotImplementedError

    @work(thread=True, exclusive=True, group="call", exit_on_error=False)
    def _call(self, call: Callable[[Callable[[str], None]], Any]) -> None:
        """``call`` is given a function that shows its next step."""
        worker = get_current_worker()
        try:
            answered = self.Answered(call(self._tell_step))
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            answered = self.Answered(None, problem_of(error))
        if not worker.is_cancelled:
            self.post_message(answered)

    def _tell_step(self, words: str) -> None:
        self.post_message(self.Step(words))

    @on(Step)
    def _stepped(self, event: Step) -> None:
        if self._step:
            self._step = event.words
            self._draw()

    @on(Answered)
    def _has_answered(self, event: Answered) -> None:
        self._step, self._problem = "", event.problem
        self.take_answer(event.answer)
        self._draw(top=True)
        if event.problem is not None and event.problem.kind is ErrorKind.LOGIN:
            self.host.action_login()
