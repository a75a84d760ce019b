"""Forms in sections that unfold; a question is shown only when the answers so far make it matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from textual.widget import Widget

from vmie_tui.model.form_option import Option
from vmie_tui.widgets.choice import LABEL_CELLS, ChoiceList, Field
from vmie_tui.widgets.fold import Fold
from vmie_tui.widgets.line_view import OneLine
from vmie_tui.widgets.text import clean, fit

YES_NO = (Option("", "no"), Option("yes", "yes"))


class Asked(Protocol):
    """A draft: one attribute for each question, and which of them matter."""

    @property
    def asked(self) -> frozenset[str]: ...


D = TypeVar("D", bound=Asked)


def same(*values: str) -> tuple[Option, ...]:
    """Options whose labels are their values."""
    return tuple(Option(value, value) for value in values)


@dataclass(frozen=True, slots=True)
class Question(Generic[D]):
    """One line of the form."""

    key: str  # the draft's field
    label: str
    hint: str = ""
    options: tuple[Option, ...] = ()  # none: a line of text
    asked: str = ""  # the entry of the draft's ``asked`` that it belongs to; empty: its own key
    when: Callable[[D], bool] = lambda _: True  # shown only if this holds too
    inline: bool = True  # options on one line, without their notes

    def wanted(self, draft: D) -> bool:
        return (self.asked or self.key) in draft.asked and self.when(draft)


@dataclass(frozen=True, slots=True)
class Group(Generic[D]):
    id: str
    title: str
    questions: tuple[Question[D], ...]
    summary: Callable[[D], str]
    unfolded: bool = True


def group_widgets(groups: Sequence[Group[D]], draft: D, fixed: Mapping[str, str] | None = None) -> Iterable[Widget]:
    """The widgets of all questions, shown or not; ``fixed``: why the answers of some cannot be changed."""
    for group in groups:
        yield Fold(group.title, unfolded=group.unfolded, id=f"fold-{group.id}")
        for question in group.questions:
            value = getattr(draft, question.key)
            if fixed and question.key in fixed:
                yield OneLine([_fixed_line(question, value, fixed[question.key])], id=f"fixed-{question.key}")
            elif question.options:
                yield ChoiceList(
                    question.label, question.options, _chosen(value), inline=question.inline, id=question.key
                )
            else:
                yield Field(question.label, value, id=question.key, placeholder=question.hint)


def _fixed_line(question: Question[Any], value: Any, why: str) -> tuple[tuple[str, str], ...]:
    names = {option.value: option.label for option in question.options}
    text = names.get(_chosen(value), str(value)) or "none"
    return (f" {fit(question.label, LABEL_CELLS)}", "dim"), (clean(text), "dim"), (f"  {why}", "dim")


def show_groups(page: Widget, groups: Sequence[Group[D]], draft: D, mistakes: Mapping[str, str]) -> None:
    """Update the widgets: which are shown, which answers are wrong, what a folded section holds."""
    for group in groups:
        fold = page.query_one(f"#fold-{group.id}", Fold)
        wanted = {question.key for question in group.questions if question.wanted(draft)}
        fold.display = bool(wanted)
        fold.show(group.summary(draft), wrong=bool(wanted & mistakes.keys()))
        for question in group.questions:
            shown = fold.unfolded and question.key in wanted
            for fixed in page.query(f"#fixed-{question.key}"):
                fixed.display = shown
            for choice in page.query(f"#{question.key}").results(ChoiceList):
                choice.display = shown
            for field in page.query(f"#field-{question.key}").results(Field):
                field.display = shown
                field.set_mistake(mistakes.get(question.key, ""))


def take(draft: object, key: str, value: str) -> bool:
    """Put an answer into the draft, a yes or no as a bool. True if it differs from the one before."""
    known = getattr(draft, key, None)
    answer: object = bool(value) if isinstance(known, bool) else value
    if known is None or known == answer:
        return False
    setattr(draft, key, answer)
    return True


def _chosen(value: Any) -> str:
    return ("yes" if value else "") if isinstance(value, bool) else str(value)
