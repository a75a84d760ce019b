"""What the screens do with an AMI once it is made: one protocol, and its real implementation over services and jobs.

Every method blocks: call it in a thread worker. Raises ServiceError.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vmie_tui.model.machine import Machine
    from vmie_tui.operations.connections import Connections
    from vmie_tui.services.aws.ec2.image_info import Image
    from vmie_tui.services.aws.ec2.images import Deregistered
    from vmie_tui.services.aws.ec2.launch import InstanceState

OWN_TAG = "vmie-tui"


@dataclass(frozen=True, slots=True)
class Launch:
    """A test instance as the form asks for it; empty texts are AWS's defaults."""

    instance_type: str
    subnet_id: str = ""
    key_name: str = ""
    isolated: bool = True


class Images(Protocol):
    def image(self, region: str, image_id: str) -> Image: ...
    def instances(self, region: str, image_id: str) -> tuple[str, ...]: ...
    def suggest_type(self, region: str, image: Image, machine: Machine | None) -> str: ...
    def launch(self, region: str, image: Image, wanted: Launch) -> str: ...
    def state(self, region: str, instance_id: str) -> InstanceState: ...
    def console(self, region: str, instance_id: str) -> str: ...
    def screenshot(self, region: str, instance_id: str) -> str: ...
    def terminate(self, region: str, instance_id: str) -> None: ...
    def copy(self, region: str, image: Image, to: str, name: str) -> Image: ...
    def rename(self, region: str, image_id: str, name: str) -> None: ...
    def deregister(self, region: str, image_id: str) -> Deregistered: ...
    def delete_objects(self, bucket: str, keys: tuple[str, ...]) -> None: ...


class LiveImages:
    def __init__(self, connections: Connections) -> None:
        self._session, self._save = connections.aws, connections.save

    def image(self, region: str, image_id: str) -> Image:
        from vmie_tui.services.aws.ec2.image_info import describe_image

        return describe_image(self._session(), region, image_id)

    def instances(self, region: str, image_id: str) -> tuple[str, ...]:
        """Ids of the AMI's instances that are not terminated, the newest first."""
        from vmie_tui.services.aws.ec2.image_info import instances_of

        return instances_of(self._session(), region, image_id)

    def suggest_type(self, region: str, image: Image, machine: Machine | None) -> str:
        """The smallest type that has the machine's CPUs and memory; without a machine the smallest there is."""
        from vmie_tui.services.aws.ec2.launch import pick_instance_type

        cpus, memory = (machine.cpus, machine.memory_mib) if machine is not None else (1, 1024)
        found = pick_instance_type(
            self._session(),
            region,
            cpus,
            memory,
            image.architecture or "x86_64",
            image.boot_mode or None,
            ena=image.ena,
        )
        return found.name

    def launch(self, region: str, image: Image, wanted: Launch) -> str:
        from vmie_tui.services.aws.ec2.launch import LaunchRequest, launch

        request = LaunchRequest(
            image.id,
            wanted.instance_type,
            secrets.token_hex(16),
            wanted.subnet_id,
            wanted.key_name,
            wanted.isolated,
            {"Name": f"test of {image.tags.get('Name') or image.name or image.id}", OWN_TAG: "test launch"},
        )
        return launch(self._session(), region, request).id

    def state(self, region: str, instance_id: str) -> InstanceState:
        from vmie_tui.services.aws.ec2.launch import state

        return state(self._session(), region, instance_id)

    def console(self, region: str, instance_id: str) -> str:
        from vmie_tui.services.aws.ec2.launch import console_output

        return console_output(self._session(), region, instance_id)

    def screenshot(self, region: str, instance_id: str) -> str:
        """The path of the file the picture of the console was saved to."""
        from vmie_tui.services.aws.ec2.launch import screenshot

        return self._save(f"{instance_id}.jpg", screenshot(self._session(), region, instance_id))

    def terminate(self, region: str, instance_id: str) -> None:
        from vmie_tui.services.aws.ec2.launch import terminate

        terminate(self._session(), region, instance_id)

    def copy(self, region: str, image: Image, to: str, name: str) -> Image:
        """Start the copy to Region ``to``; the new AMI, pending."""
        from vmie_tui.services.aws.ec2.images import CopyRequest, copy_image

        request = CopyRequest(image.id, region, name, client_token=secrets.token_hex(16), tags=image.tags)
        return copy_image(self._session(), to, request)

    def rename(self, region: str, image_id: str, name: str) -> None:
        from vmie_tui.services.aws.ec2.image_info import rename

        rename(self._session(), region, image_id, name)

    def deregister(self, region: str, image_id: str) -> Deregistered:
        from vmie_tui.services.aws.ec2.images import deregister_image

        return deregister_image(self._session(), region, image_id)

    def delete_objects(self, bucket: str, keys: tuple[str, ...]) -> None:
        from vmie_tui.services.aws.s3.objects import ObjectStore

        store = ObjectStore(self._session())
        for key in keys:
            store.delete(bucket, key)
