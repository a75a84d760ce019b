"""After an import: the AMI it made, a test instance of it, copies, names, and the way to be rid of it again."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from vmie_tui.model.errors import ErrorKind, Problem, problem_of
from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import plural
from vmie_tui.model.machine import Machine
from vmie_tui.operations.images import FinishedImport, Launch, copy_mistakes, name_mistakes, why_not_launch
from vmie_tui.screens.frame.actions import AFTER, bindings
from vmie_tui.screens.frame.base import style_sheet
from vmie_tui.screens.frame.clipboard import Copying
from vmie_tui.screens.frame.confirm import ConfirmScreen
from vmie_tui.screens.frame.form import Answers, Ask, FormScreen
from vmie_tui.services.aws.ec2.image_info import Image
from vmie_tui.services.aws.ec2.images import Deregistered
from vmie_tui.services.aws.ec2.launch import InstanceState
from vmie_tui.widgets.line_view import LinePane, OneLine
from vmie_tui.widgets.machine_detail import heading
from vmie_tui.widgets.problem import problem_lines
from vmie_tui.widgets.text import Line, clean, fit, join, paragraph, size

CONSOLE_LINES = 500
LABEL_CELLS = 10
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])")  # colours and cursor moves, as boot messages have them
CHECKS = {"ok": ("✔ ok", "ok"), "impaired": ("✖ impaired", "bad"), "initializing": ("▶ initializing", "busy")}
STATES = {"running": ("▶ running", "ok"), "pending": ("○ pending", "busy"), "terminated": ("■ terminated", "dim")}
KEEP = "Keep it"
WATCH_SECONDS, SLOW_SECONDS = 3.0, 20.0  # between looks at the instance, before and after its checks have a verdict
NO_TYPE = {"type": "Name one, such as t3.medium"}


# -- the questions before something is made of it


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
        check=lambda answers: copy_mistakes(here, answers["to"], answers["name"]),
    )


def rename_form(image: Image) -> FormScreen:
    """Answers: name."""
    text = "The tag Name of the AMI and its snapshots changes: what the console shows. Its AMI name cannot change."
    ask = Ask("name", "Name", image.tags.get("Name") or image.name)
    check = lambda answers: name_mistakes(answers["name"])  # noqa: E731
    return FormScreen(f"Rename {image.id}?", text, (ask,), yes="Rename", check=check)


def launch_mistakes(answers: Answers) -> dict[str, str]:
    """What is wrong with the answers to `launch_asks`; a type is not asked for."""
    return Launch("", answers["subnet"]).mistakes


# -- what is known of it, and the lines that say it


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


# -- the screen


class ImageScreen(Copying):
    HELP_TITLE = "After"
    MODE = "jobs"
    ACTIONS = AFTER
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(AFTER)]
    CSS_PATH = style_sheet(__file__)

    class Done(Message):
        """A call has ended: ``then`` takes its result."""

        def __init__(self, then: Callable[[Any], None], result: object, problem: Problem | None) -> None:
            super().__init__()
            self.then, self.result, self.problem = then, result, problem

    class Watched(Message):
        def __init__(self, state: InstanceState | None, problem: Problem | None = None) -> None:
            super().__init__()
            self.state, self.problem = state, problem

    def __init__(self, made: FinishedImport) -> None:
        super().__init__()
        self._made = made
        self._seen = Seen(made.image_id, made.region)
        self._busy = ""
        self._problem: Problem | None = None
        self._wake = threading.Event()

    def compose_body(self) -> Iterable[Widget]:
        yield OneLine(id="summary")
        yield LinePane(id="after")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#after", LinePane).focus()
        self.action_again()

    def on_unmount(self) -> None:
        self._wake.set()

    # -- calls, one at a time, in a thread

    def _do(self, words: str, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if self._busy:
            self.tell(f"Still busy: {self._busy}.")
            return
        self._busy, self._problem = words, None
        self._draw()
        self._call(call, then)

    @work(thread=True, exclusive=False, group="after", exit_on_error=False)
    def _call(self, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        try:
            result, problem = call(), None
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            result, problem = None, problem_of(error)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Done(then, result, problem))

    @on(Done)
    def _done(self, event: Done) -> None:
        self._busy, self._problem = "", event.problem
        self.query_one("#after", LinePane).scroll_home(animate=False)
        if event.problem is None:
            event.then(event.result)
        elif event.problem.kind is ErrorKind.LOGIN:
            self.host.action_login()
        self._draw()

    def _may_change(self, verb: str) -> bool:
        if self.operations.profile.read_only:
            self.tell(f"This profile is read-only: nothing can be {verb} from it.", error=True)
            return False
        if self._seen.image is None:
            self.tell("There is no AMI to work with." if self._seen.gone else "The AMI was not read yet: r reads it.")
            return False
        return True

    @property
    def _image(self) -> Image:
        assert self._seen.image is not None
        return self._seen.image

    # -- the AMI and its instance

    def action_again(self) -> None:
        images, made = self.operations.images, self._made

        def look() -> tuple[Image, tuple[str, ...]]:
            return images.image(made.region, made.image_id), images.instances(made.region, made.image_id)

        def known(found: tuple[Image, tuple[str, ...]]) -> None:
            image, instances = found
            self._seen = replace(self._seen, image=image)
            if instances:
                self._watch_it(instances[0])

        self._do("reading the AMI", look, known)

    def action_launch(self) -> None:
        if not self._may_change("launched"):
            return
        if self._seen.alive:
            self.tell(f"{self._seen.instance_id} is there already: t terminates it.")
            return
        images, made, image = self.operations.images, self._made, self._image
        if why_not_launch(image):
            self.tell(f"{image.id} is {image.state}: it can be launched once it is available. r looks again.")
            return
        machine = made.machine
        self._do(
            "choosing an instance type", lambda: images.suggest_type(made.region, image, machine), self._ask_launch
        )

    def _ask_launch(self, instance_type: str) -> None:
        self.app.push_screen(launch_form(self._made.image_id, instance_type, self._made.machine), self._launch)

    def _launch(self, answers: Mapping[str, str] | None) -> None:
        if answers is None:
            return
        wanted = Launch(answers["type"], answers["subnet"], answers["key"], bool(answers["isolated"]))
        images, made, image = self.operations.images, self._made, self._image
        self._do(
            f"launching a {wanted.instance_type}", lambda: images.launch(made.region, image, wanted).id, self._watch_it
        )

    def _watch_it(self, instance_id: str) -> None:
        if instance_id != self._seen.instance_id:
            self._seen = replace(self._seen, instance_id=instance_id, state=None, console="", picture="")
        self._watch(instance_id)

    @work(thread=True, exclusive=True, group="watch", exit_on_error=False)
    def _watch(self, instance_id: str) -> None:
        """Look at the instance until it is gone; `_wake` ends the wait between two looks."""
        worker = get_current_worker()
        while not worker.is_cancelled:
            try:
                state = self.operations.images.state(self._made.region, instance_id)
            except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
                self.post_message(self.Watched(None, problem_of(error)))
                return
            if worker.is_cancelled:
                return
            self.post_message(self.Watched(state))
            if state.state == "terminated":
                return
            self._wake.wait(SLOW_SECONDS if state.settled else WATCH_SECONDS)
            self._wake.clear()

    @on(Watched)
    def _watched(self, event: Watched) -> None:
        if event.problem is not None:
            self._problem = event.problem
        elif event.state is not None and event.state.id == self._seen.instance_id:
            self._seen = replace(self._seen, state=event.state)
        self._draw()

    def _instance(self, verb: str) -> str:
        """The test instance's id; "" after saying why there is none."""
        if not self._seen.alive:
            self.tell(f"There is no test instance to {verb}: l launches one.")
            return ""
        return self._seen.instance_id

    def action_console(self) -> None:
        ident = self._instance("read the console of")
        if ident:
            images, region = self.operations.images, self._made.region
            self._do("reading the console", lambda: images.console(region, ident), self._show_console)

    def _show_console(self, text: str) -> None:
        self._seen = replace(self._seen, console=text or "AWS has no output of it yet: try again in a minute.")
        self.call_after_refresh(self.query_one("#after", LinePane).scroll_end, animate=False)

    def action_screenshot(self) -> None:
        ident = self._instance("take a picture of")
        if ident:
            images, region = self.operations.images, self._made.region

            def saved(path: str) -> None:
                self._seen = replace(self._seen, picture=path)
                self.tell(f"Saved to {path}")

            self._do("taking a screenshot", lambda: images.screenshot(region, ident), saved)

    def action_terminate(self) -> None:
        if not self._may_change("terminated"):
            return
        ident = self._instance("terminate")
        if not ident:
            return
        images, region = self.operations.images, self._made.region
        call = partial(images.terminate, region, ident)

        def gone(_: object) -> None:
            self.tell(f"{ident} is terminated.")
            self._wake.set()

        text = f"The test instance {ident} and its volumes are deleted, its own security group too. The AMI stays."
        question = ConfirmScreen(f"Terminate {ident}?", text, yes="Terminate it", no=KEEP)
        self._confirm(question, f"terminating {ident}", call, gone)

    def _confirm(
        self, question: ConfirmScreen, words: str, call: Callable[[], Any], then: Callable[[Any], None]
    ) -> None:
        def answered(sure: bool | None) -> None:
            if sure:
                self._do(words, call, then)

        self.app.push_screen(question, answered)

    # -- copy, rename, deregister, delete

    def action_copy_image(self) -> None:
        if not self._may_change("copied"):
            return
        self.app.push_screen(copy_form(self._image, self._made.region), self._copy_image)

    def _copy_image(self, answers: Mapping[str, str] | None) -> None:
        if answers is None:
            return
        images, image, here = self.operations.images, self._image, self._made.region
        to, name = answers["to"], answers["name"]

        def started(copy: Image) -> None:
            note = f"{copy.id} in {to} is {copy.state}"
            self._seen = replace(self._seen, notes=(*self._seen.notes, note))
            self.tell(f"The copy {copy.id} has begun in {to}.")

        self._do(f"copying to {to}", lambda: images.copy(here, image, to, name), started)

    def action_rename(self) -> None:
        if not self._may_change("renamed"):
            return
        self.app.push_screen(rename_form(self._image), self._rename)

    def _rename(self, answers: Mapping[str, str] | None) -> None:
        if answers is None:
            return
        images, image, region, name = self.operations.images, self._image, self._made.region, answers["name"]

        def renamed(_: object) -> None:
            self._seen = replace(self._seen, image=replace(image, tags={**image.tags, "Name": name}))

        self._do("renaming", lambda: images.rename(region, image.id, name), renamed)

    def action_deregister(self) -> None:
        if not self._may_change("deregistered"):
            return
        image, region, images = self._image, self._made.region, self.operations.images
        name = image.tags.get("Name") or image.name
        snapshots = ", ".join(image.snapshot_ids) or "none"
        text = (
            f"The AMI {clean(name)} is gone then. Its snapshots are deleted with it, unless another AMI uses them: "
            f"{snapshots}. Instances that run from it go on running."
        )

        def gone(result: Deregistered) -> None:
            kept = [f"kept {ident}: {why}" for ident, why in result.kept.items()]
            notes = (f"{image.id} deregistered, {plural(len(result.deleted), 'snapshot')} deleted", *kept)
            self._seen = replace(self._seen, image=None, gone=True, notes=(*self._seen.notes, *notes))

        call = partial(images.deregister, region, image.id)
        title = f"Deregister {image.id} {name}?"
        question = ConfirmScreen(title, text, yes="Deregister and delete", no=KEEP)
        self._confirm(question, f"deregistering {image.id}", call, gone)

    def action_delete_objects(self) -> None:
        made = self._made
        if self.operations.profile.read_only:
            self.tell("This profile is read-only: nothing can be deleted from it.", error=True)
        elif not made.keys:
            self.tell("This job left no object of its own in S3.")
        else:
            where = ", ".join(f"s3://{made.bucket}/{key}" for key in made.keys)
            text = f"The disks as they were uploaded are deleted: {where}. The AMI does not need them any more."

            def gone(_: object) -> None:
                self._made = replace(made, keys=())
                note = f"{plural(len(made.keys), 'object')} deleted from {made.bucket}"
                self._seen = replace(self._seen, notes=(*self._seen.notes, note))

            call = partial(self.operations.images.delete_objects, made.bucket, made.keys)
            title = f"Delete {plural(len(made.keys), 'object')} of {made.name}?"
            question = ConfirmScreen(title, text, yes="Delete them", no=KEEP)
            self._confirm(question, "deleting the objects", call, gone)

    # -- what is shown

    def _draw(self) -> None:
        pane = self.query_one("#after", LinePane)
        cells = pane.text_width()
        lines: list[Line] = []
        if self._problem is not None:
            lines += [*problem_lines(self._problem, cells, margin=" "), ()]
        if self._busy:
            lines += [((f" {clean(self._busy)}…", "busy"),), ()]
        pane.set_lines([*lines, *after_lines(self._seen, cells)])
        where = f"{self._made.image_id} in {self._made.region}"
        self.query_one("#summary", OneLine).show(
            (f" After import  {clean(self._made.name)}  ", "title"), (where, "dim")
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def action_copy(self) -> None:
        self.copy(f"{self._made.image_id}.txt", text_of(self._seen))
