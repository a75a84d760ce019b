"""What is known of an AMI after its import, and the lines that say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vmie_tui.services.aws.ec2.image_info import Image
from vmie_tui.services.aws.ec2.launch import InstanceState
from vmie_tui.widgets.machine_detail import heading
from vmie_tui.widgets.text import Line, clean, fit, join, paragraph

CONSOLE_LINES = 500
LABEL_CELLS = 10
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])")  # colours and cursor moves, as boot messages have them
CHECKS = {"ok": ("✔ ok", "ok"), "impaired": ("✖ impaired", "bad"), "initializing": ("▶ initializing", "busy")}
STATES = {"running": ("▶ running", "ok"), "pending": ("○ pending", "busy"), "terminated": ("■ terminated", "dim")}


@dataclass(frozen=True, slots=True)
class Seen:
    """``image`` is None until it was read, and once it is ``gone``. ``console`` is untrusted text."""

    image_id: str
    region: str
    image: Image | None = None
    gone: bool = False
    instance_id: str = ""
    state: InstanceState | None = None
    console: str = ""
    picture: str = ""
    notes: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether there is a test instance that can be asked or terminated."""
        return bool(self.instance_id) and (
            self.state is None or self.state.state not in {"terminated", "shutting-down"}
        )


def after_lines(seen: Seen, cells: int) -> list[Line]:
    """The AMI, its test instance, what was done, and what the guest wrote to its console."""
    lines = [heading(f"AMI {seen.image_id}", cells), *_image(seen, cells), (), heading("Test instance", cells)]
    lines += _instance(seen, cells)
    if seen.notes:
        lines += [(), heading("Done here", cells)]
        lines += [line for note in seen.notes for line in paragraph(note, cells, "", ((" · ", "dim"),))]
    if seen.console:
        lines += [(), heading("Console", cells)]
        rows = ESCAPES.sub("", seen.console).replace("\r\n", "\n").replace("\r", "\n").split("\n")[-CONSOLE_LINES:]
        lines += [((" ", ""), (fit(clean(row), cells - 1).rstrip(), "")) for row in rows]
    return lines


def _labelled(label: str, text: str, cells: int, style: str = "") -> list[Line]:
    return paragraph(text, cells, style, ((f" {fit(label, LABEL_CELLS)}", "dim"),)) if text else []


def _image(seen: Seen, cells: int) -> list[Line]:
    image = seen.image
    if image is None:
        words = "It is deregistered." if seen.gone else "Not read yet: r reads it."
        return paragraph(words, cells, "dim", ((" ", ""),))
    boot = join([image.architecture, image.boot_mode or "boot mode as AWS chose", "ENA" if image.ena else "no ENA"])
    disks = ", ".join(f"{disk.device} {disk.snapshot_id} {disk.size_gib} GiB" for disk in image.disks)
    style = {"available": "ok", "failed": "bad"}.get(image.state, "busy")
    tags = ", ".join(f"{key}={value}" for key, value in image.tags.items() if key != "Name")
    return [
        *_labelled("Name", join(list(dict.fromkeys([image.tags.get("Name", ""), image.name]))), cells, "title"),
        *_labelled("State", join([image.state, image.state_reason]), cells, style),
        *_labelled("Boots", join([boot, image.platform]), cells),
        *_labelled("Disks", disks, cells),
        *_labelled("Tags", tags, cells, "dim"),
    ]


def _instance(seen: Seen, cells: int) -> list[Line]:
    if not seen.instance_id:
        words = "None. l launches one, isolated from the network, to see that the AMI boots."
        return paragraph(words, cells, "dim", ((" ", ""),))
    state = seen.state
    if state is None:
        return _labelled(seen.instance_id, "asking AWS…", cells, "busy")
    words, style = STATES.get(state.state, (state.state, "warn"))
    lines = _labelled("Instance", join([seen.instance_id, state.instance_type]), cells)
    lines.append(((f" {fit('State', LABEL_CELLS)}", "dim"), (words, style)))
    if state.reason:
        lines += _labelled("", state.reason, cells, "dim")
    if state.state == "running":
        lines.append(((f" {fit('Checks', LABEL_CELLS)}", "dim"), *_check("system", state.system_check)))
        lines[-1] = (*lines[-1], ("   ", ""), *_check("instance", state.instance_check))
        lines += _verdict(state, cells)
        lines += _labelled("Address", join([state.private_address, state.public_address]), cells)
    lines += _labelled("Picture", seen.picture, cells)
    return lines


def _check(name: str, value: str) -> Line:
    return (f"{name} ", ""), CHECKS.get(value, (value or "○ waiting", "dim"))


def _verdict(state: InstanceState, cells: int) -> list[Line]:
    if state.healthy:
        return _labelled("So", "It boots: the guest answers on its network card.", cells, "ok")
    if state.settled:
        words = "The guest does not answer. c reads its console, s takes a picture of it."
        return _labelled("So", words, cells, "bad")
    return _labelled("So", "AWS is still checking; this page follows it.", cells, "dim")


def text_of(seen: Seen) -> str:
    """What is copied: the ids, and the console when it was read."""
    words = [seen.image_id, f"Region: {seen.region}"]
    words += [f"Test instance: {seen.instance_id}"] if seen.instance_id else []
    words += [f"Picture: {seen.picture}"] if seen.picture else []
    return "\n".join([*words, *seen.notes]) + "\n" + (f"\n{seen.console}\n" if seen.console else "")
