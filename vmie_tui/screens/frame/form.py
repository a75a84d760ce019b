"""A few questions in a dialog, before something is made: each a line of text or a choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from vmie_tui.model.form_option import Option
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.widgets.choice import ChoiceList, Field
from vmie_tui.widgets.text import clean

Answers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of a `FormScreen`."""

    key: str
    label: str
    value: str = ""
    hint: str = ""  # shown in a line of text while it is empty
    options: tuple[Option, ...] = ()  # to choose from on one line; none: a line of text


class FormScreen(ModalScreen[dict[str, str] | None]):
    """Dismisses with the answers by key, or None. It stays open while ``check`` finds mistakes, given by key."""

    CSS_PATH = style_sheet(__file__)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s", "answer", "Go on"),
    ]

    def __init__(
        self,
        title: str,
        text: str,
        questions: Sequence[Ask],
        *,
        yes: str,
        check: Callable[[Answers], Mapping[str, str]] = lambda _: {},
    ) -> None:
        super().__init__()
        self._title, self._text, self._questions, self._yes, self._check = clean(title), text, questions, yes, check

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(self._title, id="title", markup=False)
            yield Static(self._text, id="text", markup=False)
            for ask in self._questions:
                if ask.options:
                    yield ChoiceList(ask.label, ask.options, ask.value, inline=True, id=ask.key)
                else:
                    yield Field(ask.label, ask.value, id=ask.key, placeholder=ask.hint)
            with Horizontal(id="buttons"):
                yield Button("Cancel", id="no", compact=True)
                yield Button(self._yes, id="yes", compact=True)

    def on_mount(self) -> None:
        first = self.query("ChoiceList, Input").first()
        first.focus()
        if isinstance(first, Input):
            first.select_all()  # what is typed takes the place of what was suggested

    @property
    def answers(self) -> dict[str, str]:
        return {
            ask.key: self.query_one(f"#{ask.key}", ChoiceList).value
            if ask.options
            else self.query_one(f"#{ask.key}", Input).value.strip()
            for ask in self._questions
        }

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.query_one(f"#field-{event.input.id}", Field).set_mistake("")

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        """To the next question; after the last one to the button, or at once where there is but one."""
        if len(self._questions) == 1:
            self.action_answer()
        elif event.input.id == self._questions[-1].key:
            self.query_one("#yes", Button).focus()
        else:
            self.focus_next()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "no":
            self.dismiss(None)
        else:
            self.action_answer()

    def action_answer(self) -> None:
        """Close with the answers, or say beside each wrong one what is wrong with it."""
        answers = self.answers
        mistakes = self._check(answers)
        for key, text in mistakes.items():
            self.query_one(f"#field-{key}", Field).set_mistake(text)
        if mistakes:
            self.query_one(f"#{next(iter(mistakes))}").focus()
        else:
            self.dismiss(answers)
