"""A page of the guided set-up: its questions, the work they are tried by, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Input

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.operations.first_profile import Guide, Guiding
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.choice import ChoiceList, Field, FieldInput
from vmie_tui.widgets.frame import HintBar
from vmie_tui.widgets.lines import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, paragraph

if TYPE_CHECKING:
    from vmie_tui.screens.setup.first_start import GuideApp


class EnterInput(FieldInput):
    """Enter goes on at once: a key typed right behind it is for the next line."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "leave(1)", "Next line", show=False)]


class GuideField(Field):
    INPUT = EnterInput


class GuideStep(Screen[None]):
    """One page of questions: ``NUMBER`` and ``TITLE`` head it, ``go`` names its button."""

    NUMBER, TITLE, GO = 0, "", "Next"
    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,pageup", "step(-1)", "Back"),
        Binding("pagedown", "step(1)", "Next"),
        Binding("ctrl+q", "app.quit", "Quit"),
    ]

    class Tried(Message):
        """What became of the step's work: words, or why not."""

        def __init__(self, words: str, problem: Problem | None = None) -> None:
            super().__init__()
            self.words, self.problem = words, problem

    def __init__(self, guide: Guide) -> None:
        super().__init__()
        self.guide, self._busy, self._failed = guide, False, False

    @property
    def guide_app(self) -> GuideApp:
        return cast("GuideApp", self.app)

    @property
    def guiding(self) -> Guiding:
        return self.guide_app.guiding

    def compose(self) -> ComposeResult:
        head = f"  {self.NUMBER} of 3" if self.NUMBER else ""
        yield OneLine([((" vmie ", "title"), (f" {self.TITLE}", "tab"), (head, "dim"))], id="head")
        with VerticalScroll(id="page"):
            yield LinePane(id="words")
            yield from self.questions()
            with Horizontal(id="buttons"):
                yield Button(self.GO, id="go", compact=True)
                yield Button("Go on without a test", id="skip", compact=True)
            yield LinePane(id="answer")
        yield HintBar()

    def questions(self) -> Iterable[Widget]:
        return ()

    def words(self, cells: int) -> Sequence[Line]:
        return ()

    def on_mount(self) -> None:
        for pane in self.query(LinePane):
            pane.can_focus = False
        self.query_one("#page").can_focus = False
        self.query_one("#skip").display = False
        back = "back" if self.NUMBER else "leave"
        self.query_one(HintBar).set_hints((("tab ↓", "next"), ("space", "choose"), ("esc", back), ("^q", "quit")))
        self.call_after_refresh(self.on_resize)
        focusable = self.query("Input, ChoiceList, Button")
        focusable.first().focus()

    def on_resize(self) -> None:
        pane = self.query_one("#words", LinePane)
        lines = list(self.words(max(40, self.size.width - 2)))
        pane.styles.height = len(lines)
        pane.set_lines(lines)

    def say(self, lines: Sequence[Line]) -> None:
        pane = self.query_one("#answer", LinePane)
        pane.styles.height = max(1, len(lines))
        pane.set_lines(lines)
        self.call_after_refresh(self.query_one("#page", VerticalScroll).scroll_end, animate=False)

    # -- going on

    def action_step(self, direction: int) -> None:
        if direction > 0:
            self.go()
        elif self.NUMBER:
            self.take()  # whatever is wrong with it
            self.dismiss(None)
        else:
            self.app.exit(0)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        for field in self.query(f"#field-{event.input.id}").results(Field):
            field.set_mistake("")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "skip":
            if self.take():
                self.next()
        else:
            self.go()

    def answer(self, key: str) -> str:
        widget = self.query_one(f"#{key}")
        value = widget.value if isinstance(widget, Input | ChoiceList) else ""
        return value if key == "password" else value.strip()

    def mistakes(self) -> dict[str, str]:
        return {}

    def take(self) -> bool:
        """Keep the answers; False when one of them is wrong, which is then said."""
        wrong = self.mistakes()
        for key, text in wrong.items():
            self.query_one(f"#field-{key}", Field).set_mistake(text)
        if wrong:
            self.query_one(f"#{next(iter(wrong))}").focus()
        return not wrong

    def go(self) -> None:
        if not self._busy and self.take():
            self.attempt()

    def attempt(self) -> None:
        self.next()

    def next(self) -> None:
        raise NotImplementedError

    def start(self, doing: str, work: Callable[[], str]) -> None:
        """Do it in a thread; `Tried` comes back."""
        self._busy = True
        self.say(paragraph(f"{doing}…", self.size.width - 2, "busy", ((" ", ""),)))
        self._work(work)

    @work(thread=True, exclusive=True, group="try", exit_on_error=False)
    def _work(self, work: Callable[[], str]) -> None:
        try:
            self.post_message(self.Tried(work()))
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Tried("", problem_of(error)))

    @on(Tried)
    def _tried(self, event: Tried) -> None:
        self._busy = False
        if event.problem is None:
            self.say(paragraph(event.words, self.size.width - 2, "ok", ((" ✔ ", "ok"),)))
            self.done(event.words)
        else:
            self.query_one("#skip").display = True
            advice = self.failed(event.problem)
            lines = problem_lines(event.problem, self.size.width - 2, margin=" ", retry="")
            self.say([*lines, *paragraph(advice, self.size.width - 2, "mark", ((" ", ""),))] if advice else lines)

    def done(self, words: str) -> None:
        self.notify(f"✔ {words}", markup=False)
        self.next()

    def known(self) -> None:
        """What was looked up on this machine has arrived."""

    def failed(self, problem: Problem) -> str:
        """What to do about it on this page."""
        return ""
