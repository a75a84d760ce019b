"""AMIs and test instances that answer at once; everything asked of them is in ``asked``."""

from __future__ import annotations

from dataclasses import replace

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.machine import Machine
from vmie_tui.operations.images import Launch
from vmie_tui.services.aws.ec2.image_info import Image, ImageDisk
from vmie_tui.services.aws.ec2.images import Deregistered
from vmie_tui.services.aws.ec2.launch import InstanceState, LaunchedInstance

INSTANCE = "i-0aa11bb22cc33dd44"
RUNNING = InstanceState(INSTANCE, "running", "", "ok", "initializing", "t3.medium", private_address="172.31.4.9")


class FakeImages:
    def __init__(self) -> None:
        self.made = Image(
            "ami-0ab12cd34ef567890",
            "ubuntu-build",
            "available",
            "x86_64",
            "Linux/UNIX",
            "legacy-bios",
            root_device="/dev/sda1",
            disks=(ImageDisk("/dev/sda1", "snap-0123456789abcdef0", 40),),
            tags={"Name": "ubuntu-build", "owner": "ops"},
            ena=True,
        )
        self.asked: list[tuple[object, ...]] = []
        self.errors: dict[str, ServiceError] = {}  # by the name of the method
        self.running: tuple[str, ...] = ()
        self.now = RUNNING

    def _ask(self, name: str, *arguments: object) -> None:
        self.asked.append((name, *arguments))
        if name in self.errors:
            raise self.errors[name]

    def image(self, region: str, image_id: str) -> Image:
        self._ask("image", region, image_id)
        return self.made

    def instances(self, region: str, image_id: str) -> tuple[str, ...]:
        self._ask("instances", region, image_id)
        return self.running

    def suggest_type(self, region: str, image: Image, machine: Machine | None) -> str:
        self._ask("suggest_type", region, image.id, machine.cpus if machine else None)
        return "t3.medium"

    def launch(self, region: str, image: Image, wanted: Launch) -> LaunchedInstance:
        self._ask("launch", region, image.id, wanted)
        return LaunchedInstance(INSTANCE, image.id, wanted.instance_type)

    def state(self, region: str, instance_id: str) -> InstanceState:
        return self.now

    def console(self, region: str, instance_id: str) -> str:
        self._ask("console", region, instance_id)
        return "\n".join(f"[    0.0{n:02}] booting \x1b[31mline {n}" for n in range(40)) + "\nlogin:"

    def screenshot(self, region: str, instance_id: str) -> str:
        self._ask("screenshot", region, instance_id)
        return f"~/copied/{instance_id}.jpg"

    def terminate(self, region: str, instance_id: str) -> None:
        self._ask("terminate", region, instance_id)
        self.now = replace(self.now, state="terminated", system_check="", instance_check="")

    def copy(self, region: str, image: Image, to: str, name: str) -> Image:
        self._ask("copy", region, image.id, to, name)
        return replace(image, id="ami-0c0ffee0c0ffee000", state="pending")

    def rename(self, region: str, image_id: str, name: str) -> None:
        self._ask("rename", region, image_id, name)

    def deregister(self, region: str, image_id: str) -> Deregistered:
        self._ask("deregister", region, image_id)
        return Deregistered(image_id, ("snap-0123456789abcdef0",))

    def delete_objects(self, bucket: str, keys: tuple[str, ...]) -> None:
        self._ask("delete_objects", bucket, keys)
