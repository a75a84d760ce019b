"""Import tasks: their phases on the simulator's clock, and the thread that reads their disks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model import facts
from vmie_tui.simulators.aws import guest_check, os_guess
from vmie_tui.simulators.aws.disk_checks import CheckFailed, Stopped, Volume, decode, inspect
from vmie_tui.simulators.aws.ec2_models import Mapping
from vmie_tui.simulators.aws.snapshots import BLOCK
from vmie_tui.simulators.aws.task_engine import Engine, Phase, Walk, World

LOG = logging.getLogger(__name__)
# Known from practice, not in the guides: they say only that such a task "fails with an error message".
NO_ACCESS = "ClientError: Disk validation failed [We do not have access to the given resource. Reason {reason}]"
NO_OBJECT = NO_ACCESS.format(reason="404 Not Found")
WRONG_LICENCE = "ClientError: Unsupported license type AWS for a {system} operating system. Use BYOL."


IMAGE_PHASES = (
    Phase("pending", 15, 2, 2),
    Phase("validating", 60, 3, 19, "checked"),
    Phase("validated", 15, 20, 20),
    Phase("converting", 150, 27, 38, "decoded"),
    Phase("updating", 60, 39, 47),
    Phase("booting", 210, 48, 68),
    Phase("preparing ami", 90, 76, 95),
)
SNAPSHOT_PHASES = (Phase("pending", 15, 3, 3), Phase("downloading/converting", 165, 19, 95, "decoded"))


@dataclass(slots=True)
class Source:
    """One disk container of a request. ``device`` is the name asked for."""

    format: str
    bucket: str = ""
    key: str = ""
    url: str = ""
    snapshot: str = ""
    description: str = ""
    device: str = ""


@dataclass(slots=True)
class Detail:
    """One disk of a task as it is shown: an OVA has several."""

    source: Source
    size: float = 0.0
    volume: Volume | None = None
    snapshot: str = ""


@dataclass(slots=True)
class ImportTask(Walk):
    """A task. ``kind``: image | snapshot. ``doom``: (phase, StatusMessage) when it was told to fail."""

    spec: dict[str, Any]
    sources: list[Source]
    token: str = ""
    doom: tuple[str, str] | None = None
    details: list[Detail] = field(default_factory=list)
    image: str = ""
    system: str = ""
    boot_mode: str = "legacy-bios"  # as it was found on the disks
    failure: tuple[str, str] | None = None  # (gate, StatusMessage)

    @property
    def phases(self) -> Sequence[Phase]:
        return IMAGE_PHASES if self.kind == "image" else SNAPSHOT_PHASES

    def why_failed(self, phase: Phase) -> str:
        """The StatusMessage of a task that fails in this phase, else ""."""
        if self.doom is not None and self.doom[0] == phase.message:
            return self.doom[1]
        return self.failure[1] if self.failure is not None and self.failure[0] == phase.gate else ""

    @property
    def shown(self) -> list[Detail]:
        """The disks as AWS describes them: nothing is known of their content while the task is pending."""
        return self.details if self.index else [Detail(source) for source in self.sources]


class TaskEngine(Engine[ImportTask, World]):
    """All import tasks of the account, of every Region."""

    ENDED = frozenset({"completed", "deleted"})

    def start(self, task: ImportTask) -> None:
        task.details = [Detail(source) for source in task.sources]
        super().start(task)

    def cancel(self, task: ImportTask) -> str:
        """Begin to cancel; returns the state before."""
        with self._lock:
            before = task.state
            task.stop.set()
            task.state, task.message, task.entered = "deleting", "deleting", self._world.clock.now()
            return before

    def _fail(self, task: ImportTask, message: str, when: float) -> None:
        task.state, task.message, task.entered = "deleted", message, when
        task.stop.set()
        for detail in task.details:
            if detail.snapshot:
                self._drop(detail.snapshot)
                detail.snapshot = ""

    def _drop(self, snapshot: str) -> None:
        info = self._world.snapshots.get(snapshot)
        if info is not None:
            self._world.ec2.hide_snapshot(info)

    def _complete(self, task: ImportTask, when: float) -> None:
        world = self._world
        for detail in task.details:
            world.snapshots.change(detail.snapshot, ready_at=when, state="completed")
        if task.kind == "image":
            task.image = self._register(task)
        task.state, task.message, task.entered = "completed", "", when

    def _register(self, task: ImportTask) -> str:
        spec, windows = task.spec, task.system == "Windows"
        mappings = []
        for number, detail in enumerate(task.details):
            info = self._world.snapshots.get(detail.snapshot)
            assert info is not None
            device = detail.source.device or ("/dev/sda1" if number == 0 else f"/dev/sd{chr(ord('a') + number)}")
            mappings.append(Mapping(device, info.id, info.size_gib, info.encrypted))
        details, usage = licence(spec, windows=windows)
        text = f"AWS-VMImport service: {task.system}"
        return self._world.ec2.register(
            task.region,
            name=task.id,
            mappings=mappings,
            platform_details=details,
            usage=usage,
            description=f"{text} - {spec['Description']}" if spec.get("Description") else text,
            architecture=spec.get("Architecture"),
            boot_mode=spec.get("BootMode") or task.boot_mode,
            converted=True,
        )

    # the bytes

    def _work(self, task: ImportTask) -> None:
        gate = "checked"
        try:
            with self._slots:
                self._check(task)
                task.gates[gate] = self._world.clock.now()
                gate = "decoded"
                self._decode(task)
                if task.kind == "image":
                    self._system(task)
        except CheckFailed as error:
            task.failure = (gate if task.kind == "image" else "decoded", str(error))
        except Stopped:
            return
        except Exception:
            if task.stop.is_set():
                return  # it was ended and its snapshots removed while they were being written
            LOG.exception("the simulated import %s failed", task.id)
            task.failure = (gate if task.kind == "image" else "decoded", "ServerError: An internal error occurred")
        task.gates.setdefault("checked", self._world.clock.now())
        task.gates["decoded"] = self._world.clock.now()

    def _check(self, task: ImportTask) -> None:
        """Finds every object and recognises its format."""
        max_tib = 8 if task.kind == "image" else 16
        limit = "import_image_disk_max" if task.kind == "image" else "disk_image_size_max"
        max_tib = int(facts.limit("import", limit).get("value_tib", max_tib))
        found: list[Detail] = []
        for source in task.sources:
            if source.snapshot:
                info = self._world.snapshots.get(source.snapshot)
                if info is None or info.state != "completed":
                    raise CheckFailed(f"ClientError: Disk validation failed [{source.snapshot} cannot be read]")
                found.append(Detail(source, float(info.size_gib * facts.GIB)))
                continue
            if source.url.lower().startswith("http") and "Signature=" not in source.url:
                raise CheckFailed(NO_ACCESS.format(reason="403 Forbidden"))  # no object here is public
            stored = self._world.s3.find(source.bucket, source.key)
            if stored is None:
                raise CheckFailed(NO_OBJECT)
            with self._world.s3.open(source.bucket, stored) as reader:
                volumes = inspect(reader, source.format, max_tib)
            found += [Detail(source, float(volume.length), volume) for volume in volumes]
        task.details = found

    def _decode(self, task: ImportTask) -> None:
        store, spec = self._world.snapshots, task.spec
        encrypted, key = bool(spec.get("Encrypted")), str(spec.get("KmsKeyId") or "")
        for detail in task.details:
            old = store.get(detail.source.snapshot) if detail.source.snapshot else None
            size_gib = detail.volume.size_gib if detail.volume else old.size_gib if old else 1
            info = store.create(
                region=task.region,
                size_gib=size_gib,
                description=f"Created by AWS-VMImport service for {task.id}",
                encrypted=encrypted,
                kms_key=key,
            )
            self._world.ec2.show_snapshot(info)
            detail.snapshot = info.id  # from here on a cancelled task removes it
            try:
                self._fill(task, detail, info.id)
            except BaseException:
                self._drop(info.id)
                detail.snapshot = ""
                raise

    def _fill(self, task: ImportTask, detail: Detail, ident: str) -> None:
        store, source = self._world.snapshots, detail.source
        target = store.data_path(ident)

        def stopped() -> bool:
            return task.stop.is_set() or self._world.closing.is_set()

        if detail.volume is None:
            with target.open("r+b") as file:
                for index in store.blocks(source.snapshot):
                    file.seek(index * BLOCK)
                    file.write(store.read_block(source.snapshot, index) or b"")
        else:
            stored = self._world.s3.find(source.bucket, source.key)
            if stored is None:
                raise CheckFailed(NO_OBJECT)
            with self._world.s3.open(source.bucket, stored) as reader:
                decode(reader, detail.volume, target, stopped)
        if stopped():
            raise Stopped
        store.map_data(ident)

    def _system(self, task: ImportTask) -> None:
        """Recognises the operating system, inspects it, and checks it against the requested licence."""
        disks = [(self._world.snapshots.data_path(detail.snapshot), self._capacity(detail)) for detail in task.details]
        task.system = os_guess.guess([path for path, _ in disks])
        why = guest_check.refusal(disks)
        if why.startswith(guest_check.FIRST_BOOT):
            task.doom = task.doom or ("booting", why)
        elif why:
            raise CheckFailed(why)
        task.boot_mode = guest_check.boot_mode(disks)
        if not task.system:
            raise CheckFailed(str(facts.error("E15")["message"]))
        asked = str(task.spec.get("LicenseType") or "").upper()
        if task.system == "Linux" and asked == "AWS":
            raise CheckFailed(WRONG_LICENCE.format(system=task.system))
        usage = str(task.spec.get("UsageOperation") or "")
        entry = next((item for item in usage_codes() if item["code"] == usage), None)
        if entry is not None and (entry["os"] == "windows-server") != (task.system == "Windows"):
            raise CheckFailed(
                f"ClientError: The usage operation {usage} does not fit a {task.system} operating system."
            )

    def _capacity(self, detail: Detail) -> int:
        """Bytes of the disk: its snapshot is whole GiB."""
        if detail.volume is not None:
            return detail.volume.capacity
        info = self._world.snapshots.get(detail.snapshot)
        return info.size_gib * facts.GIB if info is not None else 0


def usage_codes() -> list[dict[str, Any]]:
    """The documented usage operations."""
    found: list[dict[str, Any]] = facts.load("licences")["usage_operations"]["values"]
    return found


def licence(spec: dict[str, Any], *, windows: bool) -> tuple[str, str]:
    """(PlatformDetails, UsageOperation) of the image."""
    usage = str(spec.get("UsageOperation") or "")
    if not usage:
        byol = str(spec.get("LicenseType") or "").upper() == "BYOL"
        usage = "RunInstances" if not windows else "RunInstances:0800" if byol else "RunInstances:0002"
    names = {
        "RunInstances": "Linux/UNIX",
        "RunInstances:0002": "Windows",
        "RunInstances:0800": "Windows BYOL",
        "RunInstances:0006": "Windows with SQL Server Standard",
        "RunInstances:0102": "Windows with SQL Server Enterprise",
        "RunInstances:0202": "Windows with SQL Server Web",
        "RunInstances:0004": "SQL Server Standard",
        "RunInstances:0100": "SQL Server Enterprise",
        "RunInstances:0200": "SQL Server Web",
        "RunInstances:0010": "Red Hat Enterprise Linux",
        "RunInstances:000g": "SUSE Linux",
    }
    return names.get(usage, "Windows" if windows else "Linux/UNIX"), usage


def documented_text(code: str, message: str) -> str:
    """The message of the documented error ``code``, else what a task told to fail says instead."""
    try:
        return str(facts.error(code)["message"])
    except KeyError:
        return message or f"ClientError: {code or 'Unknown error'}"


def doom(kind: str, code: str, message: str) -> tuple[str, str]:
    """Where a task told to fail ends, and its StatusMessage; ``code`` may be the id of a documented error (E05)."""
    text = documented_text(code, message)
    if kind == "snapshot":
        return "downloading/converting", text
    if any(word in text for word in ("validation", "VMDK", "OVF", "Footers", "length", "S3")):
        return "validating", text
    if any(word in text for word in ("FirstBootFailure", "Booter")):
        return "booting", text
    return "converting", text
