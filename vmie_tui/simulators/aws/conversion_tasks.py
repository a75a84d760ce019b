"""Conversion tasks (ImportInstance, ImportVolume): their phases on the simulator's clock, and their data.

A task waits for its parts until it expires, as the API Reference says of ExpirationTime; it is then cancelled. A task
that fails ends as cancelled too: AWS has no other state for it. Cancelling removes what the conversion has made, "a
partially uploaded volume or instance" (CancelConversionTask), and leaves the parts in S3 alone; it is refused once the
final disk image is being transferred.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vmie_tui.model import facts
from vmie_tui.model.errors import ServiceError
from vmie_tui.model.task import USER_CANCELLED
from vmie_tui.services.disks.formats.open_disk import open_disk, open_raw
from vmie_tui.simulators.aws import auth, guest_check, os_guess, presigned
from vmie_tui.simulators.aws.disk_checks import CheckFailed, Stopped, decode, inspect
from vmie_tui.simulators.aws.manifest import Manifest, Part
from vmie_tui.simulators.aws.presigned import Joined
from vmie_tui.simulators.aws.s3_store import Stored
from vmie_tui.simulators.aws.task_engine import Engine, Phase, Walk, World
from vmie_tui.simulators.aws.volume_data import hold
from vmie_tui.simulators.aws.wire import ApiError
from vmie_tui.simulators.control import Stats

LOG = logging.getLogger(__name__)
LIFE_SECONDS = 7 * 86_400.0
WAIT_SECONDS = 0.1  # of the wall clock, between two looks whether the parts are there
ROOT = "/dev/sda1"
PHASES = (
    Phase("Pending", 15, 0, 0, "uploaded"),
    Phase("Progress", 165, 0, 100, "decoded"),
    Phase("Progress", 20, 100, 100),  # the transfer of the final disk image
)
# Known from practice, or this simulator's own: the guides print no other messages of conversion tasks.
EXPIRED = "ClientError: Task expired before the upload was complete"
NO_PARTITION = "ClientError: No bootable partition found."
TOO_SMALL = "ClientError: The disk image needs a volume of {need} GiB, but {given} GiB were asked for"
OTHER_PLATFORM = "ClientError: The platform {platform} does not fit a {system} operating system"


@dataclass(slots=True)
class Conversion(Walk):
    """A task. ``kind``: instance | volume. ``doom``: the StatusMessage of one that was told to fail."""

    zone: str
    url: str
    manifest: Manifest
    volume_gib: int
    description: str = ""
    platform: str = ""
    instance_type: str = ""
    instance_id: str = ""
    doom: str = ""
    volume_id: str = ""
    held: str = ""  # the volume's content, in the snapshot store
    failure: str = ""

    @property
    def phases(self) -> Sequence[Phase]:
        return PHASES

    def why_failed(self, phase: Phase) -> str:
        return self.failure or (self.doom if phase.message == "Progress" else "")

    @property
    def expires(self) -> float:
        return self.created + LIFE_SECONDS

    def converted(self, now: float) -> int:
        """Bytes of the image that are done with."""
        if self.index != 1 or self.state != "active":
            return self.manifest.size if self.index == 2 or self.state == "completed" else 0
        return int(self.manifest.size * self.share(now))

    def told(self, now: float) -> str:
        """The StatusMessage."""
        if self.state != "active" or self.message != "Progress":
            return self.message
        return f"Progress: {100 * self.converted(now) // max(1, self.manifest.size)}%"


class ConversionWorld(World, Protocol):
    """The parts of the simulator that conversions work on."""

    keys: auth.Keys
    stats: Stats


class Conversions(Engine[Conversion, ConversionWorld]):
    """All conversion tasks of the account, of every Region."""

    ENDED = frozenset({"completed", "cancelled"})

    def cancel(self, task: Conversion, reason: str) -> bool:
        """Starts cancelling; False when it is too late."""
        with self._lock:
            if task.state != "active" or task.last:
                return False
            task.stop.set()
            task.state, task.entered = "cancelling", self._world.clock.now()
            task.message = f"{USER_CANCELLED}: {reason}" if reason else USER_CANCELLED
            self._remove(task)
            return True

    def _cancelled(self, task: Conversion, when: float) -> None:
        task.state, task.entered = "cancelled", when

    def _fail(self, task: Conversion, message: str, when: float) -> None:
        task.state, task.message, task.entered = "cancelled", message, when
        self._remove(task)

    def _remove(self, task: Conversion) -> None:
        """All artifacts of the conversion."""
        if task.held:
            self._world.snapshots.delete(task.held)
            task.held = ""
        if task.instance_id:
            self._world.ec2.backend(task.region).terminate_instances([task.instance_id])

    def _complete(self, task: Conversion, when: float) -> None:
        world, backend = self._world, self._world.ec2.backend(task.region)
        encrypted = world.ec2.encrypted_by_default(task.region)
        volume = backend.create_volume(task.volume_gib, task.zone, encrypted=encrypted)
        hold(volume, world.snapshots.change(task.held, ready_at=when, state="completed").id)
        task.volume_id = volume.id
        if task.instance_id:
            backend.attach_volume(volume.id, task.instance_id, ROOT, True)
        task.state, task.message, task.entered = "completed", "", when

    # the bytes

    def _work(self, task: Conversion) -> None:
        clock = self._world.clock
        try:
            objects = self._await_parts(task)
            task.gates["uploaded"] = clock.now()
            with Joined(self._world.s3, objects) as image:
                self._decode(task, image)
            if task.kind == "instance":
                self._system(task)
        except CheckFailed as error:
            task.failure = str(error)
        except Stopped:
            return
        except Exception:
            if task.stop.is_set():
                return  # it was ended and its volume removed while it was being written
            LOG.exception("the simulated conversion %s failed", task.id)
            task.failure = "ServerError: An internal error occurred"
        task.gates.setdefault("uploaded", clock.now())
        task.gates["decoded"] = clock.now()

    def _await_parts(self, task: Conversion) -> list[tuple[str, Stored]]:
        while True:
            found = find_parts(self._world, task.manifest)
            if found is not None:
                return found
            if self._world.clock.now() > task.expires:
                raise CheckFailed(EXPIRED)
            if task.stop.wait(WAIT_SECONDS) or self._world.closing.is_set():
                raise Stopped

    def _decode(self, task: Conversion, image: Joined) -> None:
        world, max_tib = self._world, int(facts.limit("import", "disk_image_size_max").get("value_tib", 16))
        [volume] = inspect(image, task.manifest.format, max_tib)
        if volume.size_gib > task.volume_gib:
            raise CheckFailed(TOO_SMALL.format(need=volume.size_gib, given=task.volume_gib))
        with self._lock:
            if self._stopped(task):
                raise Stopped
            info = world.snapshots.create(region=task.region, size_gib=task.volume_gib, origin="volume")
            task.held = info.id
        decode(image, volume, world.snapshots.data_path(info.id), lambda: self._stopped(task))
        if self._stopped(task):
            raise Stopped
        world.snapshots.map_data(info.id)

    def _system(self, task: Conversion) -> None:
        """Recognises the operating system, inspects it, and checks it against the request."""
        path = self._world.snapshots.data_path(task.held)
        with path.open("rb") as file:
            if not bootable(file.read(1024)):
                raise CheckFailed(NO_PARTITION)
        system = os_guess.guess([path])
        if not system:
            raise CheckFailed(str(facts.error("E15")["message"]))
        if system != task.platform:
            raise CheckFailed(OTHER_PLATFORM.format(platform=task.platform, system=system))
        why = guest_check.refusal([(path, task.volume_gib * facts.GIB)])
        if why:
            raise CheckFailed(why)


def find_parts(world: ConversionWorld, manifest: Manifest) -> list[tuple[str, Stored]] | None:
    """The part objects, by the manifest's own URLs; None when one is not there yet. Raises CheckFailed."""
    found = []
    for part in manifest.parts:
        stored = _part(world, part)
        if stored is None:
            return None
        found.append(stored)
    return found


def _part(world: ConversionWorld, part: Part) -> tuple[str, Stored] | None:
    for method, url in (("HEAD", part.head_url), ("GET", part.get_url)):
        bucket, key = presigned.place(url)
        if key != part.key:
            raise CheckFailed(
                f"ClientError: The manifest's {method} URL of part {part.key} is for {key or 'no object'}"
            )
        try:
            reply = presigned.follow(world, method, url)
        except ApiError as error:
            if error.status == 404:
                return None
            raise CheckFailed(f"ClientError: Part {part.key} cannot be read: {error}") from error
        if reply.stream is not None and hasattr(reply.stream, "close"):
            reply.stream.close()
    stored = world.s3.find(bucket, key)
    if stored is None:
        return None
    if stored.size != part.size:
        raise CheckFailed(f"ClientError: Part {part.key} has {stored.size} bytes, the manifest says {part.size}")
    return bucket, stored


def bootable(head: bytes) -> bool:
    """Whether the first sectors of a disk hold an MBR with a partition; a GPT's protective one does not count (E08)."""
    if head[510:512] != b"\x55\xaa" or head[512:520] == b"EFI PART":
        return False
    kinds = struct.unpack_from("<4xB11x4xB11x4xB11x4xB11x", head, 446)
    return any(kind not in {0, 0xEE} for kind in kinds)


def first_sectors(world: ConversionWorld, manifest: Manifest) -> bytes:
    """The disk's first sectors, when the parts are there and can be read as a disk; else nothing."""
    try:
        found = find_parts(world, manifest)
        if found is None:
            return b""
        with Joined(world.s3, found) as image:
            disk = open_raw(image) if manifest.format == "RAW" else open_disk(image)
            return disk.read_at(0, 1024)
    except (CheckFailed, ServiceError):
        return b""  # the task itself will say what is wrong


def summary(task: Conversion, now: float) -> dict[str, Any]:
    """One entry of DescribeConversionTasks, empty values left out."""
    image = {
        "Format": task.manifest.format,
        "Size": task.manifest.size,
        "ImportManifestUrl": task.url,
    }
    volume = {"Size": task.volume_gib, **({"Id": task.volume_id} if task.volume_id else {})}
    common: dict[str, Any] = {
        "AvailabilityZone": task.zone,
        "BytesConverted": task.converted(now),
        "Image": image,
        "Volume": volume,
    }
    shown: dict[str, Any] = {"ConversionTaskId": task.id, "State": task.state}
    if task.told(now):
        shown["StatusMessage"] = task.told(now)
    if task.kind == "volume":
        shown["ImportVolume"] = {**common, "Description": task.description}
    else:
        status = {"Status": task.state, **({"StatusMessage": task.told(now)} if task.told(now) else {})}
        shown["ImportInstance"] = {
            "Description": task.description,
            "InstanceId": task.instance_id,
            "Platform": task.platform,
            "Volumes": [{**common, **status}],
        }
    return shown
