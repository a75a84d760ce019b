"""The first start: a few questions instead of a file to write; each connection is tried before it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from vmie_tui.model.choice import Option
from vmie_tui.model.errors import ErrorKind, Problem
from vmie_tui.operations.first_profile import ASK, CA, KEYRING, PIN, SYSTEM, Guide, Guiding
from vmie_tui.screens.frame.theme import ThemedApp
from vmie_tui.screens.setup.first_start_page import GuideField, GuideStep
from vmie_tui.settings import host_trouble
from vmie_tui.widgets.checks import text_lines
from vmie_tui.widgets.choice import ChoiceList, Field
from vmie_tui.widgets.text import Line, clean, paragraph

if TYPE_CHECKING:
    from vmie_tui.settings import Settings

SAVED, DEMO, LEFT = "saved", "demo", ""
CHAIN = ""  # of AWS: whatever the environment and the files say
COMPARE = "Compare it with the one shown on the server itself, for example at its console. If they are the same"


class StartStep(GuideStep):
    TITLE, GO = "First start", "Go on"

    def words(self, cells: int) -> Sequence[Line]:
        margin: Line = ((" ", ""),)
        text = (
            "Nothing is configured yet. Three short pages ask for vCenter, AWS and where to write it; "
            "each connection is tried before it is kept."
        )
        where = f"It will be in {self.guiding.config_file}, which you can also write by hand."
        return [(), *paragraph(text, cells, "", margin), (), *paragraph(where, cells, "dim", margin), ()]

    def questions(self) -> Iterable[Widget]:
        options = (
            Option("guide", "Set up vCenter and AWS", "about two minutes"),
            Option("demo", "Try the demo", "a simulated vCenter and AWS: no account, no network"),
        )
        yield ChoiceList("What to do", options, "guide", id="what")

    def next(self) -> None:
        if self.answer("what") == "demo":
            self.guide_app.finish(DEMO)
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
            self.start(f"looking at the certificate of {guide.host}", lambda: self.guiding.thumbprint(guide))
        elif not guide.password:
            self.query_one("#field-password", Field).set_mistake("Needed for the test")
            self.query_one("#password").focus()
            self.query_one("#skip").display = True
        else:
            self._pin = False
            self.start(f"logging in to {guide.host}", lambda: self.guiding.try_vcenter(guide))

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
        from vmie_tui.operations.import_plan import REGION

        return {} if REGION.fullmatch(self.answer("region")) else {"region": "A Region reads like eu-west-1"}

    def take(self) -> bool:
        for key in ("aws_profile", "region", "bucket"):
            setattr(self.guide, key, self.answer(key))
        return super().take()

    def attempt(self) -> None:
        self.start("asking AWS who is signed in", lambda: self.guiding.try_aws(self.guide))

    def next(self) -> None:
        self.app.push_screen(WriteStep(self.guide))


class WriteStep(GuideStep):
    NUMBER, TITLE, GO = 3, "Write it", "Write it and start"

    def questions(self) -> Iterable[Widget]:
        yield GuideField("Profile's name", self.guide.name, id="name", placeholder="prod")

    def words(self, cells: int) -> Sequence[Line]:
        margin: Line = ((" ", ""),)
        lines = [(), *paragraph(f"This is added to {self.guiding.config_file}:", cells, "", margin), ()]
        lines += [((" ", ""), *line) for line in text_lines(self.guiding.text(self.guide).rstrip(), cells - 2, "info")]
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
        self.start("writing", lambda: self.guiding.write(self.guide))

    def failed(self, problem: Problem) -> str:
        self.query_one("#skip").display = False
        return ""

    def next(self) -> None:
        self.guide_app.finish(SAVED)


class GuideApp(ThemedApp):
    """Asks, tries, writes; `outcome` says what is wanted afterwards."""

    ENABLE_COMMAND_PALETTE = False

    class Known(Message):
        def __init__(self, keyring: str, aws_profiles: tuple[tuple[str, str], ...]) -> None:
            super().__init__()
            self.keyring, self.aws_profiles = keyring, aws_profiles

    def __init__(self, guiding: Guiding) -> None:
        super().__init__()
        self.guiding, self.outcome, self.guide = guiding, LEFT, Guide(name=guiding.name)
        self.keyring = ""
        self.aws_profiles: tuple[tuple[str, str], ...] = ()

    def on_mount(self) -> None:
        self.push_screen(StartStep(self.guide))
        self._look_around()

    @work(thread=True, exclusive=True, group="around", exit_on_error=False)
    def _look_around(self) -> None:
        """What this machine offers; each may take a while."""
        self.post_message(self.Known(self.guiding.keyring(), self.guiding.aws_profiles()))

    @on(Known)
    def _is_known(self, event: Known) -> None:
        self.keyring, self.aws_profiles = event.keyring, event.aws_profiles
        if isinstance(self.screen, GuideStep):
            self.screen.known()

    def finish(self, outcome: str) -> None:
        self.outcome = outcome
        self.exit(0)


def run(settings: Settings, *, mouse: bool) -> tuple[str, str]:
    """Ask until it is written, or the user leaves: SAVED, DEMO or LEFT, and the vCenter password, if one was typed."""
    from vmie_tui.operations.first_profile import LiveGuiding

    app = GuideApp(LiveGuiding(settings))
    app.run(mouse=mouse)
    return app.outcome, app.guide.password
