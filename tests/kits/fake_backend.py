"""A operations of model values: what the screens show without any service behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.kits.fake_doctor import FakeDoctor
from tests.kits.fake_exports import FakeOutward
from tests.kits.fake_images import FakeImages
from tests.kits.fake_replications import FakeReplicas
from tests.kits.fake_tasks import FakeDesk
from vmie_tui.model.deploy_places import DeployPlace, DeployPlaces
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError
from vmie_tui.model.export import ExportPlan
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.guest import (
    DiskFacts,
    FstabLine,
    GuestFacts,
    Kernel,
    LinuxFacts,
    NotInspected,
    Partition,
    Presence,
    Volume,
)
from vmie_tui.model.job import DiskProgress, JobView, LogLine, Stage, StageState, StageView, WorkerStatus
from vmie_tui.model.machine import Backing, Disk, Firmware, Inventory, Machine, Nic, Power, VCenterInfo
from vmie_tui.model.plan import ImportPlan, Source, VmSource
from vmie_tui.model.preflight import DiskLook, Preflight, join_findings, prepared
from vmie_tui.model.preparation import modifications
from vmie_tui.model.proof import BlockProof, DiskProof, Proof
from vmie_tui.model.rules.account import Account
from vmie_tui.model.rules.licensing import check_licence
from vmie_tui.model.task import JobState
from vmie_tui.operations.import_check import Judged, worst_first
from vmie_tui.operations.profile import AwsStatus, ProfileInfo
from vmie_tui.operations.vcenter import OnPage
from vmie_tui.services.image_sources import Described

NOW = datetime(2026, 3, 4, 10, 41, 7, tzinfo=UTC)
GIB = 1 << 30


def machine(number: int, name: str, **fields: object) -> Machine:
    sizes = fields.pop("sizes", (40,))
    assert isinstance(sizes, tuple)
    disks = tuple(
        Disk(
            2000 + i,
            f"Hard disk {i + 1}",
            int(gib * GIB),
            f"scsi0:{i}",
            thin=True,
            datastore="vmfs-ssd",
            file_name=f"[vmfs-ssd] {name}/{name}_{i}.vmdk",
        )
        for i, gib in enumerate(sizes)
    )
    base = Machine(
        moid=f"vm-{number}",
        name=name,
        instance_uuid=f"uuid-{number}",
        datacenter="DC1",
        folder=("Production", "Web"),
        cluster="cl-01",
        host="esx-03.corp",
        guest_id="debian12_64Guest",
        guest_name="Debian GNU/Linux 12 (64-bit)",
        cpus=2,
        memory_mib=4096,
        disks=disks,
        nics=(Nic("Network adapter 1", network="VLAN 20", addresses=("10.0.20.11",), dhcp=True),),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def company() -> tuple[Machine, ...]:
    """A dozen machines with one of each kind of trouble."""
    windows = {"guest_id": "windows2019srv_64Guest", "guest_name": "Microsoft Windows Server 2019 (64-bit)"}
    db = ("Production", "Databases")
    rdm = machine(6, "db-rdm", folder=db, sizes=(60, 500))
    return (
        machine(1, "web-01", power=Power.ON, sizes=(60, 20), firmware=Firmware.UEFI),
        machine(2, "web-02", guest_id="rhel9_64Guest", guest_name="Red Hat Enterprise Linux 9 (64-bit)"),
        machine(
            3,
            "web-legacy",
            guest_id="centosGuest",
            guest_name="CentOS 4/5 (32-bit)",
            tools_guest_name="CentOS 5.11 (32-bit)",
            sizes=(20,),
            cdrom_connected=True,
        ),
        machine(4, "win-file-01", **windows, folder=("Office",), cluster="cl-02", sizes=(100, 2048)),
        machine(5, "db-01", folder=db, power=Power.ON, snapshots=2, sizes=(60.5, 200, 200)),
        replace(rdm, disks=(rdm.disks[0], replace(rdm.disks[1], backing=Backing.RDM))),
        machine(7, "ubuntu-build", datacenter="DC2", folder=("Lab",), cluster="lab", guest_id="ubuntu64Guest"),
        machine(8, "サーバー東京-01", datacenter="DC2", folder=("Lab",), cluster="lab"),
        machine(9, "[red]markup[/red]\x1b[31m", datacenter="DC2", folder=("Lab",), cluster="lab"),
        machine(10, "a-very-long-machine-name-that-does-not-fit-anywhere", folder=("Office",)),
        machine(11, "win-10-desktop", guest_id="windows9_64Guest", guest_name="Microsoft Windows 10 (64-bit)"),
        machine(12, "suspended-01", power=Power.SUSPENDED),
    )


# Fixed, so that the screens' tests do not follow every change of a rule's words.
FINDINGS = {
    "web-legacy": (
        Finding(
            Severity.BLOCKER,
            "32-bit Linux is not accepted",
            "CentOS 5.11 (32-bit)",
            "VM import takes 64-bit Linux only",
            "ClientError: Unsupported kernel version 2.6.18",
            "Move the application to a 64-bit system",
        ),
        Finding(Severity.WARNING, "a CD-ROM is connected", remedy="Disconnect it before the copy"),
    ),
    "db-01": (
        Finding(
            Severity.WARNING,
            "it has 2 snapshots",
            why="The present state is copied, not theirs",
            remedy="Delete those not needed",
        ),
        Finding(Severity.INFO, "VMware Tools is installed", remedy="Remove it before the last copy"),
    ),
    "db-rdm": (
        Finding(
            Severity.BLOCKER,
            "is a raw device mapping",
            "Hard disk 2",
            "VM import takes VMDK disks only",
            remedy="Turn it into a virtual disk by storage migration",
        ),
    ),
    "suspended-01": (
        Finding(
            Severity.BLOCKER,
            "it is suspended",
            why="An export wants it off, or running with a snapshot",
            remedy="Resume it or power it off",
        ),
    ),
}


def some_places() -> DeployPlaces:
    """Two clusters of two datacenters, each with a datastore of its own and one they cannot use now."""
    one, two = frozenset({"domain-c1"}), frozenset({"domain-c2"})
    return DeployPlaces(
        (
            DeployPlace("resgroup-1", "cl-01", "DC1/cl-01", near=one, datacenter="dc-1"),
            DeployPlace("resgroup-2", "lab", "DC2/lab", near=two, datacenter="dc-2"),
        ),
        (
            DeployPlace("ds-1", "vmfs-old", "DC1/vmfs-old", 4 * GIB, "it is in maintenance mode", one),
            DeployPlace("ds-2", "vmfs-ssd", "DC1/vmfs-ssd", 900 * GIB, near=one),
            DeployPlace("ds-3", "nfs-lab", "DC2/nfs-lab", 20 * GIB, near=two),
        ),
        (
            DeployPlace("group-v1", "DC1", "DC1", datacenter="dc-1"),
            DeployPlace("group-v2", "Web", "DC1/Production/Web", datacenter="dc-1"),
            DeployPlace("group-v3", "DC2", "DC2", datacenter="dc-2"),
        ),
        (
            DeployPlace("network-1", "VLAN 20", "DC1/VLAN 20", near=one),
            DeployPlace("network-2", "VM Network", "DC2/VM Network", near=two),
        ),
    )


def many(count: int) -> tuple[Machine, ...]:
    return tuple(machine(i, f"vm-{i:05}", power=Power.ON if i % 3 else Power.OFF) for i in range(count))


STAGES = (Stage.CHECK, Stage.SNAPSHOT, Stage.UPLOAD, Stage.IMPORT, Stage.FINISH)


def stages(at: int, state: StageState = StageState.RUNNING) -> tuple[StageView, ...]:
    """All stages, the one with number ``at`` in ``state``, those before it done."""
    start = NOW - timedelta(minutes=14)
    return tuple(
        StageView(stage, StageState.DONE, start + timedelta(minutes=i), start + timedelta(minutes=i + 1))
        if i < at
        else StageView(stage, state, start + timedelta(minutes=i))
        if i == at
        else StageView(stage)
        for i, stage in enumerate(STAGES)
    )


def job(number: int, name: str, state: JobState, **fields: object) -> JobView:
    base = JobView(
        f"job{number:04}", "import", name, "prod", state, NOW - timedelta(minutes=14 + number), NOW, stages(2)
    )
    view = replace(base, source="vcenter.corp/DC1/Production/" + name, target="s3://migration-eu-west-1/vmie/" + name)
    return replace(view, **fields)  # type: ignore[arg-type]


def some_jobs() -> list[JobView]:
    """One job of each state that looks different."""
    disks = (
        DiskProgress(2000, "disk 1", 60 * GIB, 20 * GIB, 20 * GIB, 0, 0, 1280, StageState.DONE, "ab" * 32, True),
        DiskProgress(2001, "disk 2", 20 * GIB, 6 * GIB, 2 * GIB, 0, 74e6, 44, StageState.RUNNING),
    )
    problem = Problem(
        ErrorKind.REMOTE,
        "AWS could not convert the disk",
        "import-ami-0fa1b2c3d4e5f6071",
        "Convert it to a stream-optimized VMDK",
        False,
        "ClientError",
        "Disk validation failed [Unsupported VMDK File Format]",
    )
    done_disk = DiskProgress(
        2000,
        "disk 1",
        40 * GIB,
        9 * GIB,
        9 * GIB,
        GIB,
        0,
        576,
        StageState.DONE,
        "cd" * 32,
        True,
        snapshot_id="snap-0123456789abcdef0",
    )
    return [
        job(1, "web-01", JobState.RUNNING, disks=disks, fraction=0.83, rate=117e6, eta_seconds=41.0),
        job(
            2,
            "web-02",
            JobState.RUNNING,
            stages=stages(3),
            fraction=0.42,
            task_id="import-ami-0ab12cd34ef56789a",
            task_progress=42,
            task_message="converting",
            eta_seconds=720.0,
        ),
        job(3, "db-01", JobState.FAILED, stages=stages(3, StageState.FAILED), problem=problem),
        job(
            4,
            "ubuntu-build",
            JobState.DONE,
            stages=tuple(replace(s, state=StageState.DONE) for s in stages(5)),
            image_id="ami-0ab12cd34ef567890",
            fraction=1.0,
            disks=(done_disk,),
        ),
        job(5, "win-file-01", JobState.QUEUED, stages=tuple(StageView(s) for s in STAGES), message="waits for esx-03"),
        job(6, "サーバー東京-01", JobState.PAUSED, fraction=0.2),
    ]


FSTAB = Finding(
    Severity.BLOCKER,
    "/etc/fstab is missing",
    "disk 1 partition 1",
    "VM import reads it to find the file systems",
    "ClientError: Invalid configuration - Could not read fstab",
    "Restore it, with UUIDs",
    "F371",
    "no-fstab",
)


def guest_facts() -> GuestFacts:
    """A small Debian as a look into its disk sees it."""
    present = Presence.PRESENT
    drivers = {"nvme": present, "ena": present, "xen-blkfront": Presence.MISSING}
    kernel = Kernel(
        "6.1.0-18-amd64", "/boot/vmlinuz-6.1.0-18-amd64", present, "/boot/initrd.img", "gzip", present, drivers
    )
    linux = LinuxFacts(
        "disk 1 partition 1",
        "debian",
        "12",
        "Debian GNU/Linux 12 (bookworm)",
        present,
        "12.4",
        "x86_64",
        present,
        (FstabLine(1, "UUID=4eb38bc1 / ext4 defaults 0 1", "UUID=4eb38bc1", "/", "ext4"),),
        (kernel,),
        dhcp=present,
        sshd=present,
        sshd_enabled=present,
        vmware_tools=present,
        free=343 << 20,
    )
    disk = DiskFacts(0, 40 * GIB, "mbr", (Partition(1, 1 << 20, 39 * GIB, "83", True),), bios_boot=True)
    volumes = (Volume("disk 1 partition 1", "ext4", 39 * GIB), Volume("disk 1 partition 2", "swap", GIB))
    missed = (NotInspected("/boot/efi", "its file system was not found"),)
    return GuestFacts((disk,), volumes, ("disk 1 partition 1",), linux, not_inspected=missed)


def preflight_of(machine: Machine, configuration: tuple[Finding, ...], *content: Finding) -> Preflight:
    """What a look into the machine's disks gives: a small Debian, and these findings."""
    guest = guest_facts()
    return Preflight(
        machine.path,
        join_findings(configuration, content, guest),
        guest.not_inspected,
        machine,
        guest,
        prepared(machine, guest),
        modifications(machine),
        (DiskLook("Hard disk 1", "raw", 40 * GIB),),
        13,
        832 << 10,
        "vmie-tui preflight" if machine.power is Power.ON else "",
        content,
    )


def described(source: Source, *, disks: int = 1, **fields: object) -> Described:
    """What a look into a file, objects or snapshots gives: a small Debian on so many disks of 40 GiB."""
    base = machine(0, source.name, sizes=(40,) * disks, instance_uuid="", datacenter="", folder=(), **fields)
    seen = replace(base, moid=source.where, cluster="", host="", nics=())
    return Described(source, seen, preflight_of(seen, ()))


def plan_of(name: str) -> ImportPlan:
    """What a job of this machine was asked to do."""
    source = VmSource("vcenter.corp", f"vm-{name}", name)
    return ImportPlan("prod", source, "eu-west-1", "migration-eu-west-1", prefix="vmie/")


def proof_of(view: JobView, *, same: bool = True, different: tuple[int, ...] = ()) -> Proof:
    """A proof whose first disk went by S3; ``same``: its object is still what was sent."""
    sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    blocks = BlockProof("snap-0123456789abcdef0", "what was sent", True, 64, different)
    disks = tuple(
        DiskProof(
            disk.key,
            disk.label,
            sha,
            sha,
            "s3://b/disk-1.vmdk",
            "Fq9hfo3ouLs=",
            "Fq9hfo3ouLs=" if same else "A",
            (blocks,),
        )
        for disk in view.disks
    )
    return Proof(view.id, view.name, "unmodified", disks, ("The seed of the samples is the job's id",))


class FakeVCenter:
    """`inventory` serves ``machines`` in pages, or raises ``inventory_error``."""

    def __init__(self, machines: tuple[Machine, ...] | None = None) -> None:
        self.machines = company() if machines is None else machines
        self.password: str | None = "secret"
        self.cached: Inventory | None = None
        self.inventory_error: ServiceError | None = None
        self.gate: threading.Event | None = None  # inventory waits for it after its first page
        self.page = 500
        self.reads = 0
        self.places = some_places()

    def has_password(self) -> bool:
        return bool(self.password)

    def set_password(self, password: str) -> None:
        self.password = password

    def cached_inventory(self) -> Inventory | None:
        return self.cached

    def inventory(self, on_page: OnPage, cancelled: Callable[[], bool]) -> Inventory:
        self.reads += 1
        for start in range(0, len(self.machines), self.page):
            on_page(self.machines[start : start + self.page], len(self.machines))
            if self.gate is not None:
                self.gate.wait(20)
        if self.inventory_error is not None:
            raise self.inventory_error
        return Inventory(VCenterInfo("vcenter.corp"), NOW, self.machines)

    def machine_of(self, plan: ImportPlan) -> Machine | None:
        return next((one for one in self.machines if one.name == plan.source.name), None)

    def deploy_places(self) -> DeployPlaces:
        if self.inventory_error is not None:
            raise self.inventory_error
        return self.places


class FakeImports:
    """Says of a machine what `FINDINGS` has; records what it is asked."""

    def __init__(self) -> None:
        self.preflights: dict[str, Preflight] = {}  # by name; others get their configuration's
        self.preflight_error: ServiceError | None = None
        self.looked: list[tuple[str, bool]] = []
        self.described: dict[str, Described] = {}
        self.account = Account()
        self.account_gate: threading.Event | None = None  # AWS answers once it is set
        self.account_error: ServiceError | None = None
        self.accounts_asked: list[ImportPlan] = []

    def check_machine(self, machine: Machine) -> tuple[Finding, ...]:
        return FINDINGS.get(machine.name, ())

    def weigh(self, plan: ImportPlan, machine: Machine, preflight: Preflight | None = None) -> Judged:
        licence = check_licence(machine.os_family, plan.license_type, plan.usage_operation, machine.name)
        about = self.check_machine(machine)
        found = worst_first((*about, *licence))
        if preflight is not None:
            found, about = preflight.join(found, plan.route), preflight.join(about, plan.route)
        return Judged(plan, machine, found, about)

    def preflight(self, machine: Machine, *, snapshot: bool, on_step: Callable[[str], None]) -> Preflight:
        self.looked.append((machine.name, snapshot))
        on_step("reading Hard disk 1")
        if self.preflight_error is not None:
            raise self.preflight_error
        if machine.power is Power.ON and not snapshot:
            note = NotInspected("the content of its disks", "the machine is on, and was not frozen by a snapshot")
            return Preflight(machine.path, self.check_machine(machine), (note,), machine)
        return self.preflights.get(machine.name) or preflight_of(machine, self.check_machine(machine))

    def describe(self, text: str, *, raw: bool, on_step: Callable[[str], None]) -> Described:
        on_step("looking at the file")
        if text not in self.described:
            raise ServiceError(ErrorKind.NOT_FOUND, "there is no such file", subject=text, remedy="Check the path")
        found = self.described[text]
        return replace(found, source=replace(found.source, raw=True)) if raw else found

    def look_at_account(self, plan: ImportPlan) -> Account:
        self.accounts_asked.append(plan)
        if self.account_gate is not None:
            self.account_gate.wait(20)
        if self.account_error is not None:
            raise self.account_error
        return self.account


class FakeJobs:
    """Records what it is asked."""

    def __init__(self, jobs: list[JobView] | None = None) -> None:
        self.job_views = [] if jobs is None else jobs
        self.submit_errors: dict[str, ServiceError] = {}
        self.submitted: list[ImportPlan | ExportPlan] = []
        self.changes: list[tuple[str, str]] = []
        self.plans: dict[str, object] = {view.id: plan_of(view.name) for view in self.job_views}
        self.fallback_error: ServiceError | None = None
        self.proof_error: ServiceError | None = None
        self.proofs: dict[str, Proof] = {view.id: proof_of(view) for view in self.job_views}
        self.status = WorkerStatus(True, 4711, NOW, running=2)

    def submit_at_once(self, plan: ImportPlan | ExportPlan) -> str:
        name = plan.source.name if isinstance(plan, ImportPlan) else plan.source_id
        if name in self.submit_errors:
            raise self.submit_errors[name]
        self.submitted.append(plan)
        return f"job-{len(self.submitted)}"

    def jobs(self) -> list[JobView]:
        return list(self.job_views)

    def log(self, job_id: str, tail: int) -> list[LogLine]:
        lines = [
            LogLine(NOW - timedelta(minutes=3), "lease ready on esx-03"),
            LogLine(NOW - timedelta(minutes=2), "upload started, 16 MiB parts"),
            LogLine(NOW - timedelta(minutes=1), "S3 asked to slow down, part 43 is sent again", "warning"),
        ]
        return lines[-tail:]

    def cancel(self, job_id: str) -> None:
        self.changes.append(("cancel", job_id))

    def pause(self, job_id: str) -> None:
        self.changes.append(("pause", job_id))

    def resume(self, job_id: str) -> None:
        self.changes.append(("resume", job_id))

    def plan(self, job_id: str) -> object:
        return self.plans[job_id]

    def fallback(self, job_id: str) -> str:
        if self.fallback_error is not None:
            raise self.fallback_error
        self.changes.append(("fallback", job_id))
        return "job-new"

    def proof(self, job_id: str, *, all_blocks: bool, on_step: Callable[[str], None]) -> Proof:
        on_step("reading blocks of snap-0123456789abcdef0")
        self.changes.append(("proof of all" if all_blocks else "proof", job_id))
        if self.proof_error is not None:
            raise self.proof_error
        return self.proofs[job_id]

    def worker(self) -> WorkerStatus:
        return self.status


class FakeOperations:
    """Has all subjects of the real one, each a fake."""

    def __init__(self, machines: tuple[Machine, ...] | None = None, jobs: list[JobView] | None = None) -> None:
        self.profile = ProfileInfo(
            name="prod",
            vcenter="vcenter.corp",
            vcenter_user="svc-mig@vsphere.local",
            aws_profile="ops",
            region="eu-west-1",
            bucket="migration-eu-west-1",
            prefix="vmie/",
            role_name="vmimport",
            config_file="~/.config/vmie-tui/config.toml",
        )
        self.first = self.profile
        self.others: tuple[ProfileInfo, ...] = ()  # profiles besides the first
        self.by_profile: dict[str, tuple[Machine, ...]] = {}
        self.aws_error: ServiceError | None = None
        self.mfa_code = ""
        self.saved: dict[str, str] = {}
        self.vcenter = FakeVCenter(machines)
        self.imports = FakeImports()
        self.jobs = FakeJobs(jobs)
        self.tasks = FakeDesk()
        self.exports = FakeOutward()
        self.images = FakeImages()
        self.replications = FakeReplicas()
        self.doctor = FakeDoctor()

    def profiles(self) -> tuple[ProfileInfo, ...]:
        return (self.first, *self.others)

    def switch(self, name: str) -> None:
        found = {one.name: one for one in self.profiles()}
        if name not in found or name == "broken":
            raise ServiceError(ErrorKind.INVALID, f"there is no profile named {name!r}")
        self.profile = found[name]
        self.vcenter.machines = self.by_profile.get(name, ())

    def aws_status(self, mfa_code: str = "") -> AwsStatus:
        if self.aws_error is not None and not (mfa_code and mfa_code == self.mfa_code):
            raise self.aws_error
        return AwsStatus("111122223333", "ops")

    def save_text(self, name: str, text: str) -> str:
        self.saved[name] = text
        return f"~/copied/{name}"
