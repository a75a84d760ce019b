"""The questions before something is made of an AMI: a test instance, a copy, another name."""

from __future__ import annotations

from vmie_tui.model.choice import Option
from vmie_tui.model.formatting import plural
from vmie_tui.model.machine import Machine
from vmie_tui.operations.import_plan import REGION, SUBNET_ID
from vmie_tui.screens.frame.form import Answers, Ask, FormScreen
from vmie_tui.services.aws.ec2.image_info import Image
from vmie_tui.widgets.text import size

NO_TYPE = {"type": "Name one, such as t3.medium"}


def launch_form(image_id: str, instance_type: str, machine: Machine | None) -> FormScreen:
    """Answers: type, subnet, key, isolated ("yes" or "")."""
    why = (
        f"The type has the VM's {plural(machine.cpus, 'CPU')} and {size(machine.memory_mib << 20)} of memory."
        if machine
        else "The type is the smallest: the machine's size is not known here."
    )
    return FormScreen(
        f"Launch a test instance of {image_id}?",
        f"It runs, and is charged, until you terminate it. {why}",
        launch_asks(instance_type, isolated=True),
        yes="Launch",
        check=lambda answers: ({} if answers["type"] else NO_TYPE) | launch_mistakes(answers),
    )


def launch_asks(
    instance_type: str = "", subnet: str = "", key: str = "", *, isolated: bool, by_size: bool = False
) -> tuple[Ask, ...]:
    """What an instance is launched with; ``by_size``: the type may be left to the VM's size."""
    network = (Option("yes", "isolated"), Option("", "the subnet's"))
    return (
        Ask("type", "Instance type", instance_type, "empty: by the VM's size" if by_size else "such as t3.medium"),
        Ask("subnet", "Subnet", subnet, "empty: the default VPC's"),
        Ask("key", "Key pair", key, "empty: none"),
        Ask("isolated", "Network", "yes" if isolated else "", "", network),
    )


def copy_form(image: Image, here: str) -> FormScreen:
    """Answers: to (a Region other than ``here``), name."""
    return FormScreen(
        f"Copy {image.id} to another Region?",
        "AWS copies its snapshots; transfer between Regions and the copies are charged.",
        (Ask("to", "Region", "", "such as eu-central-1"), Ask("name", "AMI name", image.name)),
        yes="Copy",
        check=lambda answers: _copy_mistakes(answers, here),
    )


def rename_form(image: Image) -> FormScreen:
    """Answers: name."""
    text = "The tag Name of the AMI and its snapshots changes: what the console shows. Its AMI name cannot change."
    ask = Ask("name", "Name", image.tags.get("Name") or image.name)
    return FormScreen(f"Rename {image.id}?", text, (ask,), yes="Rename", check=_needs_name)


def launch_mistakes(answers: Answers) -> dict[str, str]:
    """What is wrong with the answers to `launch_asks`; a type is not asked for."""
    fits = not answers["subnet"] or SUBNET_ID.fullmatch(answers["subnet"])
    return {} if fits else {"subnet": "A subnet reads like subnet-0abc…"}


def _copy_mistakes(answers: Answers, here: str) -> dict[str, str]:
    if not REGION.fullmatch(answers["to"]):
        return {"to": "A Region reads like eu-west-1"}
    if answers["to"] == here:
        return {"to": "It is in this Region already"}
    return _needs_name(answers)


def _needs_name(answers: Answers) -> dict[str, str]:
    return {} if answers["name"] else {"name": "Give it a name"}
