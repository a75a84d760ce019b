"""An AMI once it is made: test instances of it, copies, names, and the way to be rid of it again."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import JobView
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan, ObjectSource
from vmie_tui.operations.connections import Connections
from vmie_tui.operations.import_plan import REGION, SUBNET_ID
from vmie_tui.services.aws.ec2 import images, launch
from vmie_tui.services.aws.ec2.image_info import Image, describe_image, instances_of, rename
from vmie_tui.services.aws.ec2.images import CopyRequest, Deregistered
from vmie_tui.services.aws.ec2.instance_types import pick_instance_type
from vmie_tui.services.aws.ec2.launch import InstanceState, LaunchedInstance, LaunchRequest
from vmie_tui.services.aws.s3.objects import ObjectStore

AMI, INSTANCE = re.compile(r"ami-[0-9a-f]{8,17}"), re.compile(r"i-[0-9a-f]{8,17}")
TEST_TAGS = {"vmie-tui": "test launch"}
OnState = Callable[[InstanceState], None]
SMALLEST = (1, 1024)  # vCPUs, MiB: where nothing says what the machine had


@dataclass(frozen=True, slots=True)
class Launch:
    """A test instance as it is asked for; empty texts are AWS's defaults."""

    instance_type: str
    subnet_id: str = ""
    key_name: str = ""
    isolated: bool = True

    @property
    def mistakes(self) -> dict[str, str]:
        """What is wrong with what was typed, by field."""
        fits = not self.subnet_id or SUBNET_ID.fullmatch(self.subnet_id)
        return {} if fits else {"subnet": "A subnet reads like subnet-0abc…"}


class Images:
    """Every method blocks: call it in a thread. Raises ServiceError."""

    def __init__(self, connections: Connections) -> None:
        self._session, self._save = connections.aws, connections.save

    @property
    def region(self) -> str:
        """The profile's, or what the AWS tools' own files and variables say."""
        return self._session().region

    # -- the AMI

    def image(self, region: str, image_id: str) -> Image:
        return describe_image(self._session(), region, image_id)

    def copy(self, region: str, image: Image, to: str, name: str) -> Image:
        """Start the copy to Region ``to``; the new AMI, pending."""
        _refuse(copy_mistakes(region, to, name), image.id)
        request = CopyRequest(image.id, region, name, client_token=secrets.token_hex(16), tags=image.tags)
        return images.copy_image(self._session(), to, request)

    def wait_for(self, region: str, image_id: str) -> Image:
        """The AMI once it is available."""
        return images.wait_for_image(self._session(), region, image_id)

    def rename(self, region: str, image_id: str, name: str) -> None:
        """Set the tag Name of the AMI and its snapshots."""
        _refuse(name_mistakes(name), image_id)
        rename(self._session(), region, image_id, name)

    def deregister(self, region: str, image_id: str, *, snapshots: bool = True) -> Deregistered:
        """``snapshots``: those that no other AMI uses are deleted with it."""
        return images.deregister_image(self._session(), region, image_id, snapshots=snapshots)

    def delete_objects(self, bucket: str, keys: tuple[str, ...]) -> None:
        store = ObjectStore(self._session())
        for key in keys:
            store.delete(bucket, key)

    # -- its instances

    def instances(self, region: str, image_id: str) -> tuple[str, ...]:
        """Ids of the AMI's instances that are not terminated, the newest first."""

        return instances_of(self._session(), region, image_id)

    def suggest_type(
        self, region: str, image: Image, machine: Machine | None, *, cpus: int | None = None, memory: int | None = None
    ) -> str:
        """The smallest type with the CPUs and MiB that were asked for, else with the machine's where it is known."""
        known = (machine.cpus, machine.memory_mib) if machine is not None else SMALLEST
        found = pick_instance_type(
            self._session(),
            region,
            cpus or known[0],
            memory or known[1],
            image.architecture or "x86_64",
            image.boot_mode or None,
            ena=image.ena,
        )
        return found.name

    def launch(self, region: str, image: Image, wanted: Launch) -> LaunchedInstance:
        """Start a test instance. Raises ServiceError CONFLICT for an AMI that is not available."""
        _refuse(wanted.mistakes, image.id)
        if why := why_not_launch(image):
            raise ServiceError(
                ErrorKind.CONFLICT, why, subject=image.id, remedy="Launch it once it is available", retry_safe=True
            )
        request = LaunchRequest(
            image.id,
            wanted.instance_type,
            secrets.token_hex(16),
            wanted.subnet_id,
            wanted.key_name,
            wanted.isolated,
            {"Name": f"test of {image.tags.get('Name') or image.name or image.id}", **TEST_TAGS},
        )
        return launch.launch(self._session(), region, request)

    def state(self, region: str, instance_id: str) -> InstanceState:
        return launch.state(self._session(), region, instance_id)

    def wait_for_checks(self, region: str, instance_id: str, on_state: OnState) -> InstanceState:
        """How it is once its status checks have a verdict; ``on_state`` hears each state until then."""
        return launch.wait_for_checks(self._session(), region, instance_id, on_state=on_state)

    def console(self, region: str, instance_id: str) -> str:
        return launch.console_output(self._session(), region, instance_id)

    def picture(self, region: str, instance_id: str) -> bytes:
        """Its console's screen as a JPEG."""
        return launch.screenshot(self._session(), region, instance_id)

    def screenshot(self, region: str, instance_id: str) -> str:
        """The path of the file the picture of the console was saved to."""
        return self._save(f"{instance_id}.jpg", self.picture(region, instance_id))

    def terminate(self, region: str, instance_id: str) -> None:
        """End it for good, with its volumes and the security group that was made for it."""
        launch.terminate(self._session(), region, instance_id)


def why_not_launch(image: Image) -> str:
    """Why no instance of it can be launched yet; "" when one can."""
    return "" if image.state == "available" else f"it is {image.state}"


def copy_mistakes(here: str, to: str, name: str) -> dict[str, str]:
    """What is wrong with a copy to Region ``to``, by field."""
    if not REGION.fullmatch(to):
        return {"to": "A Region reads like eu-west-1"}
    if to == here:
        return {"to": "It is in this Region already"}
    return name_mistakes(name)


def name_mistakes(name: str) -> dict[str, str]:
    return {} if name else {"name": "Give it a name"}


@dataclass(frozen=True, slots=True)
class FinishedImport:
    """An AMI that a job or a run has made, and what there is besides."""

    name: str
    region: str
    image_id: str
    machine: Machine | None = None  # None: it is not known any more
    bucket: str = ""
    keys: tuple[str, ...] = ()  # objects that the import uploaded to the bucket, which may be deleted now


def finished_import(job: JobView, plan: ImportPlan, machine: Machine | None) -> FinishedImport:
    return FinishedImport(job.name, plan.region, job.image_id, machine, plan.bucket, own_objects(job, plan))


def own_objects(job: JobView, plan: ImportPlan) -> tuple[str, ...]:
    """Keys of what a finished import has uploaded and left in its bucket; never of what it was given."""
    given = isinstance(plan.source, ObjectSource)
    return () if given or plan.clean_up else tuple(dict.fromkeys(disk.s3_key for disk in job.disks if disk.s3_key))


def _refuse(mistakes: dict[str, str], subject: str) -> None:
    for why in mistakes.values():
        raise ServiceError(ErrorKind.INVALID, f"{why[:1].lower()}{why[1:]}", subject=subject)
