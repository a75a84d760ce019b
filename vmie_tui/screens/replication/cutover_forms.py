"""The questions before a cutover, and before going back from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vmie_tui.model.choice import Option
from vmie_tui.model.replication import ReplicationView, Verify
from vmie_tui.operations.roll_back import last_cutover
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.form import Answers, Ask, FormScreen
from vmie_tui.screens.jobs.image_forms import launch_asks, launch_mistakes


def cutover_form(view: ReplicationView, members: Sequence[ReplicationView], given: Mapping[str, str]) -> FormScreen:
    """Answers: scope ("group" or ""; with several ``members`` of its group), those of `launch_asks`, verify, name.

    ``given``: earlier answers. The name, of the machine or of its group, must be typed.
    """
    group = view.spec.group
    asks = launch_asks(
        given.get("type", ""),
        given.get("subnet", ""),
        given.get("key", ""),
        isolated=bool(given.get("isolated", "")),
        by_size=True,
    )
    if len(members) > 1:
        scope = (Option("", "this server"), Option("group", f"all {len(members)} of its group"))
        asks, named = (Ask("scope", "What", given.get("scope", ""), "", scope), *asks), "its name, or the group's"
    else:
        kinds = tuple(Option(kind.value, kind.value) for kind in Verify)
        asks = (*asks, Ask("verify", "Verify", given.get("verify", view.spec.verify.value), "", kinds))
        named = "its name"

    def wrong(answers: Answers) -> dict[str, str]:
        wanted, found = group if answers.get("scope") else view.name, launch_mistakes(answers)
        return found if answers["name"] == wanted.strip() else {**found, "name": "That is not the name"}

    text = "The guest is shut down now and stays off; its last changes become an AMI, and this instance of it."
    name = Ask("name", "Type to confirm", "", f"{named}, letter by letter")
    return FormScreen(f"Cut over {view.name}?", text, (*asks, name), yes="Shut down and cut over", check=wrong)


def roll_back_question(view: ReplicationView) -> ConfirmScreen:
    """What going back from its cutover means. Raises ServiceError when there was none."""
    run = last_cutover(view)
    stops = f"The instance {run.instance_id} is stopped, then " if run.instance_id else "No instance was launched; "
    text = (
        f"{stops}{view.name} is powered on in vCenter, as it was when it was shut down. What was written in EC2 since "
        "then stays on the instance's volumes and does not come back."
    )
    return ConfirmScreen(f"Roll back {view.name}?", text, yes="Roll back", no="Stay in EC2")
