"""The first start: a few questions instead of a file to write; each connection is tried before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Input

from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.model.form_option import Option
from vmie_tui.model.rules.route_needs import REGION
from vmie_tui.operations.first_profile import ASK, CA, KEYRING, PIN, SYSTEM, Guide, LiveSetup, SetupBackend
from vmie_tui.operations.profile import FirstStart
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.theme import ThemedApp
from vmie_tui.settings import Settings, host_trouble
from vmie_tui.widgets.choice import ChoiceList, Field, FieldInput
from vmie_tui.widgets.doctor_checks import text_lines
from vmie_tui.widgets.frame import HintBar
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean, paragraph

CHAIN = ""  # of AWS: whatever the environment and the files say
COMPARE = "Compare it with the one shown on the server itself, for example at its console. If they are the same"


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
    def backend(self) -> SetupBackend:
        return self.guide_app.backend

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


class StartStep(GuideStep):
    TITLE, GO = "First start", "Go on"

    def words(self, cells: int) -> Sequence[Line]:
        margin: Line = ((" ", ""),)
        text = (
            "Nothing is configured yet. Three short pages ask for vCenter, AWS and where to write it; "
            "each connection is tried before it is kept."
        )
        where = f"It will be in {self.backend.config_file}, which you can also write by hand."
        return [(), *paragraph(text, cells, "", margin), (), *paragraph(where, cells, "dim", margin), ()]

    def questions(self) -> Iterable[Widget]:
        options = (
            Option("guide", "Set up vCenter and AWS", "about two minutes"),
            Option("demo", "Try the demo", "a simulated vCenter and AWS: no account, no network"),
        )
        yield ChoiceList("What to do", options, "guide", id="what")

    def next(self) -> None:
        if self.answer("what") == "demo":
            self.guide_app.finish(FirstStart.DEMO)
        else:
            self.app.push_screen(VCenterStep(self.guide))


class VCenterStep(GuideStep):
    NUMBER, TITLE, GO = 1, "vCenter", "Test and go on"
    _pin = False  # whether what is under way looks at the certificate alone

    def questions(self) -> Iterable[Widget]:
        guide = self.guide
        yield GuideField("Host", guide.host, id="host", placeholder="vcenter.corp or vcenter.corp:8443; empty: none")
        yield GuideField("User", guide.user, id="user", placeholder="svc-mig@vsphere.local")
        yield GuideField("Password", guide.password, id="password", placeholder="for the test; never in the file")
        yield ChoiceList("Password later", self._keep(), guide.keep, inline=True, id="keep")
        trust = (Option(SYSTEM, "by authority"), Option(PIN, "pin thumbprint"), Option(CA, "by CA file"))
        yield ChoiceList("Certificate", trust, guide.trust, inline=True, id="trust")
        yield GuideField(
            "CA file", guide.ca_file, id="ca_file", placeholder="PEM file of the authority, where it is by CA file"
        )

    def _keep(self) -> tuple[Option, ...]:
        asked = Option(ASK, "ask each time")
        return (asked, Option(KEYRING, "keep it in the keyring")) if self.guide_app.keyring else (asked,)

    def known(self) -> None:
        self.query_one("#keep", ChoiceList).set_options(self._keep(), self.guide.keep)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#password", Input).password = True

    def mistakes(self) -> dict[str, str]:
        if not self.answer("host"):
            return {}
        found = {} if self.answer("user") else {"user": "Name the user"}
        if why := host_trouble(Guide(host=self.answer("host")).place[0]):
            found["host"] = why[:1].upper() + why[1:]
        if self.answer("trust") == CA and not self.answer("ca_file"):
            found["ca_file"] = "Name the PEM file"
        return found

    def take(self) -> bool:
        guide = self.guide
        if self.answer("host") != guide.host or self.answer("trust") != PIN:
            guide.thumbprint = ""  # of another server, or not wanted
        for key in ("host", "user", "password", "keep", "trust", "ca_file"):
            setattr(guide, key, self.answer(key))
        return super().take()

    def attempt(self) -> None:
        guide = self.guide
        if not guide.host:
            self.next()
        elif guide.trust == PIN and not guide.thumbprint:
            self._pin = True
            self.start(f"looking at the certificate of {guide.host}", lambda: self.backend.thumbprint(guide))
        elif not guide.password:
            self.query_one("#field-password", Field).set_mistake("Needed for the test")
            self.query_one("#password").focus()
            self.query_one("#skip").display = True
        else:
            self._pin = False
            self.start(f"logging in to {guide.host}", lambda: self.backend.try_vcenter(guide))

    def done(self, words: str) -> None:
        if not self._pin:
            super().done(words)
            return
        self.guide.thumbprint = words
        cells, margin = self.size.width - 2, ((" ", ""),)
        lines = paragraph(f"The SHA-256 thumbprint of {self.guide.host} is", cells, "", margin)
        lines += paragraph(words, cells, "title", margin)
        lines += paragraph(f"{COMPARE}, press '{self.GO}' again: from then on only this one.", cells, "warn", margin)
        self.say(lines)
        self.query_one("#go").focus()

    def failed(self, problem: Problem) -> str:
        if problem.kind is ErrorKind.TLS and self.guide.trust == SYSTEM:
            return "Here: choose 'pin thumbprint' or 'by CA file' at Certificate above, then test again."
        return ""

    def next(self) -> None:
        if self.guide.trust == PIN and self.guide.host and not self.guide.thumbprint:
            self.query_one("#trust").focus()
            self.notify("Look at its thumbprint first, or choose another way to trust it.", markup=False)
        else:
            self.app.push_screen(AwsStep(self.guide))


class AwsStep(GuideStep):
    NUMBER, TITLE, GO = 2, "AWS", "Test and go on"

    def questions(self) -> Iterable[Widget]:
        guide = self.guide
        yield ChoiceList("AWS profile", self._profiles(), guide.aws_profile, id="aws_profile")
        yield GuideField("Region", guide.region, id="region", placeholder="eu-west-1")
        yield GuideField("Bucket", guide.bucket, id="bucket", placeholder="one in that Region; may stay empty for now")

    def _profiles(self) -> list[Option]:
        first = Option(CHAIN, "as the environment says", "variables, instance role, default profile")
        return [first, *(Option(name, clean(name), clean(region)) for name, region in self.guide_app.aws_profiles)]

    def known(self) -> None:
        self.query_one("#aws_profile", ChoiceList).set_options(self._profiles(), self.guide.aws_profile)

    @on(ChoiceList.Picked, "#aws_profile")
    def _preset(self, event: ChoiceList.Picked) -> None:
        """The profile's own Region, unless one was typed."""
        field = self.query_one("#region", Input)
        regions = dict(self.guide_app.aws_profiles)
        if not field.value or field.value in regions.values():
            field.value = regions.get(event.value, "")

    def mistakes(self) -> dict[str, str]:
        return {} if REGION.fullmatch(self.answer("region")) else {"region": "A Region reads like eu-west-1"}

    def take(self) -> bool:
        for key in ("aws_profile", "region", "bucket"):
            setattr(self.guide, key, self.answer(key))
        return super().take()

    def attempt(self) -> None:
        self.start("asking AWS who is signed in", lambda: self.backend.try_aws(self.guide))

    def next(self) -> None:
        self.app.push_screen(WriteStep(self.guide))


class WriteStep(GuideStep):
    NUMBER, TITLE, GO = 3, "Write it", "Write it and start"

    def questions(self) -> Iterable[Widget]:
        yield GuideField("Profile's name", self.guide.name, id="name", placeholder="prod")

    def words(self, cells: int) -> Sequence[Line]:
        margin: Line = ((" ", ""),)
        lines = [(), *paragraph(f"This is added to {self.backend.config_file}:", cells, "", margin), ()]
        lines += [((" ", ""), *line) for line in text_lines(self.backend.text(self.guide).rstrip(), cells - 2, "info")]
        if self.guide.host and self.guide.keep == KEYRING and self.guide.password:
            lines += [(), *paragraph(f"The password goes to {self.guide_app.keyring}.", cells, "dim", margin)]
        elif self.guide.host:
            lines += [(), *paragraph("The password is asked for each time.", cells, "dim", margin)]
        return [*lines, ()]

    @on(Input.Changed, "#name")
    def _renamed(self, event: Input.Changed) -> None:
        self.guide.name = event.value.strip()
        self.on_resize()

    def attempt(self) -> None:
        self.start("writing", lambda: self.backend.write(self.guide))

    def failed(self, problem: Problem) -> str:
        self.query_one("#skip").display = False
        return ""

    def next(self) -> None:
        self.guide_app.finish(FirstStart.SAVED)


class GuideApp(ThemedApp):
    """Asks, tries, writes; `outcome` says what is wanted afterwards."""

    ENABLE_COMMAND_PALETTE = False

    class Known(Message):
        def __init__(self, keyring: str, aws_profiles: tuple[tuple[str, str], ...]) -> None:
            super().__init__()
            self.keyring, self.aws_profiles = keyring, aws_profiles

    def __init__(self, backend: SetupBackend) -> None:
        super().__init__()
        self.backend, self.guide = backend, Guide(name=backend.name)
        self.outcome = FirstStart.LEFT
        self.keyring = ""
        self.aws_profiles: tuple[tuple[str, str], ...] = ()

    def on_mount(self) -> None:
        self.push_screen(StartStep(self.guide))
        self._look_around()

    @work(thread=True, exclusive=True, group="around", exit_on_error=False)
    def _look_around(self) -> None:
        """What this machine offers; each may take a while."""
        self.post_message(self.Known(self.backend.keyring(), self.backend.aws_profiles()))

    @on(Known)
    def _is_known(self, event: Known) -> None:
        self.keyring, self.aws_profiles = event.keyring, event.aws_profiles
        if isinstance(self.screen, GuideStep):
            self.screen.known()

    def finish(self, outcome: FirstStart) -> None:
        self.outcome = outcome
        self.exit(0)


def run(settings: Settings, *, mouse: bool) -> tuple[FirstStart, str]:
    """Ask until it is written, or the user leaves: SAVED, DEMO or LEFT, and the vCenter password, if one was typed."""
    app = GuideApp(LiveSetup(settings))
    app.run(mouse=mouse)
    return app.outcome, app.guide.password
