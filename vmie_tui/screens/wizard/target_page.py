"""The wizard's target page: only the questions the chosen route needs, in groups that unfold."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from vmie_tui.model import facts
from vmie_tui.model.form_option import Option
from vmie_tui.model.plan import Route
from vmie_tui.model.rules.route_needs import ARCHITECTURES, VOLUME_TYPES
from vmie_tui.operations.import_plan import Draft
from vmie_tui.screens.frame.sections import YES_NO, Group, Question, group_widgets, same, show_groups, take
from vmie_tui.screens.wizard.pages import Step
from vmie_tui.widgets.choice import ChoiceList
from vmie_tui.widgets.fold import Fold
from vmie_tui.widgets.line_view import LinePane
from vmie_tui.widgets.text import Line, fit, join, paragraph

BOOT_MODES = (Option("", "AWS decides"), Option("legacy-bios", "legacy-bios"), Option("uefi", "uefi"))


def _afterwards(draft: Draft) -> str:
    asked = draft.asked
    copies = f"copies to {draft.copy_to}" if draft.copy_to else "no copies"
    launch = "a test launch" if draft.test_launch else "no test launch"
    kept = "objects deleted" if draft.clean_up else "objects in S3 kept"
    return join(
        [
            copies if "copy_to" in asked else "",
            launch if "test_launch" in asked else "",
            kept if "clean_up" in asked else "",
        ],
        ", ",
    )


_LEGACY_TYPES = facts.load("constraints")["instance_import"]["linux_instance_types"]["general_purpose"]
GROUPS: tuple[Group[Draft], ...] = (
    Group(
        "where",
        "Where",
        (
            Question("region", "Region", "eu-west-1"),
            Question("bucket", "Bucket", "a bucket in that Region"),
            Question("prefix", "Prefix", "none"),
            Question("role_name", "Service role", "vmimport"),
        ),
        lambda draft: join([draft.region, draft.bucket if "bucket" in draft.asked else ""], ", "),
    ),
    Group(
        "names",
        "Names",
        (
            Question("ami_name", "AMI name", "{vm} is the VM's name"),
            Question("description", "Description", "none"),
            Question("tags", "Tags", "key=value, key=value"),
        ),
        lambda draft: join([draft.ami_name if "ami_name" in draft.asked else "", draft.tags or "no tags"], ", "),
    ),
    Group(
        "settings",
        "Settings",
        (
            Question(
                "boot_mode",
                "Boot mode",
                options=BOOT_MODES,
            ),
            Question("platform", "Platform", options=(Option("", "by its system"), *same("Linux", "Windows"))),
            Question("architecture", "Architecture", options=same(*ARCHITECTURES)),
            Question("ena", "ENA driver", options=(Option("yes", "in the guest"), Option("", "not there"))),
            Question("root_device", "Root device", "/dev/sda1"),
            Question("encrypted", "Encrypt", options=YES_NO),
            Question(
                "kms_key",
                "KMS key",
                "the account's default key",
                asked="encrypted",
                when=lambda draft: draft.encrypted,
            ),
        ),
        lambda draft: join([draft.boot_mode, "encrypted" if draft.encrypted else "not encrypted"], ", "),
    ),
    Group(
        "volumes",
        "Volumes",
        (
            Question("make_volumes", "Make volumes", options=YES_NO, asked="volumes"),
            *(
                Question(key, label, hint, options, "volumes", lambda draft: draft.make_volumes)
                for key, label, hint, options in (
                    ("zone", "Zone", "such as eu-west-1a; empty: the instance's", ()),
                    ("volume_type", "Volume type", "", same(*VOLUME_TYPES[:5])),
                    ("attach_to", "Attach to", "an instance, such as i-0abc…; empty: none", ()),
                )
            ),
        ),
        lambda draft: "of each snapshot" if draft.make_volumes else "none",
    ),
    Group(
        "instance",
        "Instance",
        (
            Question(
                "volume_only",
                "What is made",
                options=(Option("", "an instance"), Option("yes", "a volume")),
                asked="legacy",
            ),
            Question(
                "instance_type",
                "Instance type",
                f"Linux: {', '.join(_LEGACY_TYPES[:3])}, …",
                asked="legacy",
                when=lambda draft: not draft.volume_only,
            ),
            Question("instance_zone", "Zone", "such as eu-west-1a", asked="legacy"),
            Question(
                "instance_subnet",
                "Subnet",
                "subnet-…; empty: the default VPC's",
                asked="legacy",
                when=lambda draft: not draft.volume_only,
            ),
        ),
        lambda draft: "a volume" if draft.volume_only else draft.instance_type or "no type yet",
    ),
    Group(
        "after",
        "Afterwards",
        (
            Question("copy_to", "Copy AMI to", "Regions, such as eu-central-1, us-east-1"),
            Question("clean_up", "Delete objects", options=YES_NO),
            Question("test_launch", "Test launch", options=YES_NO),
            *(
                Question(key, label, hint, options, "test_launch", lambda draft: draft.test_launch)
                for key, label, hint, options in (
                    ("launch_type", "Instance type", "empty: by the VM's size", ()),
                    ("launch_subnet", "Subnet", "empty: the default VPC's", ()),
                    ("launch_key", "Key pair", "empty: none", ()),
                    ("isolated", "Network", "", (Option("yes", "isolated"), Option("", "as the subnet allows"))),
                )
            ),
        ),
        _afterwards,
        unfolded=False,
    ),
)


class TargetStep(Step):
    """Where it is wanted, what it is called, how it is made, and what happens afterwards."""

    def compose(self) -> ComposeResult:
        yield from group_widgets(GROUPS, self.draft)
        yield LinePane(id="target-words")

    def enter(self) -> None:
        draft = self.draft
        show_groups(self, GROUPS, draft, draft.mistakes())
        first = "by its firmware" if draft.route is Route.UNMODIFIED else BOOT_MODES[0].label
        self.query_one("#boot_mode", ChoiceList).set_options((Option("", first), *BOOT_MODES[1:]), draft.boot_mode)
        self._show_names()

    def _show_names(self) -> None:
        lines: list[Line] = []
        if "ami_name" in self.draft.asked:
            names = ", ".join(self.draft.ami_name_for(candidate) for candidate in self.draft.candidates)
            first: Line = ((f" {fit('Names', 19)}", "dim"),)
            lines = [(), *paragraph(names, self.cells(), "dim", first)]
        pane = self.query_one("#target-words", LinePane)
        pane.display = bool(lines)
        pane.set_lines(lines)

    @on(Fold.Toggled)
    def _folded(self) -> None:
        self.enter()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if take(self.draft, event.input.id or "", event.value.strip()):
            self.enter()
            self.post_message(self.Changed())

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.screen.focus_next()

    @on(ChoiceList.Picked)
    def _picked(self, event: ChoiceList.Picked) -> None:
        take(self.draft, event.choice.id or "", event.value)
        self.enter()
        self.post_message(self.Changed())
