"""What the screens need from the world: one protocol, and its real implementation over services and jobs.

Every method may block: call it in a thread worker. boto3, pyVmomi and dbos are imported inside the methods, after the
first paint.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import VmSource
from vmie_tui.services.vsphere.refused_logins import REFUSED

if TYPE_CHECKING:
    from vmie_tui.model.deploy_places import DeployPlaces
    from vmie_tui.model.export import ExportPlan
    from vmie_tui.model.finding import Finding
    from vmie_tui.model.job import JobView, LogLine, WorkerStatus
    from vmie_tui.model.machine import Inventory, Machine
    from vmie_tui.model.plan import ImportPlan
    from vmie_tui.model.preflight import Preflight
    from vmie_tui.model.proof import Proof
    from vmie_tui.model.rules.account import Account
    from vmie_tui.operations.desk import Desk
    from vmie_tui.operations.doctor import Doctor, LiveDoctor
    from vmie_tui.operations.exports import Outward
    from vmie_tui.operations.images import Images
    from vmie_tui.operations.jobs import JobClient
    from vmie_tui.operations.replications import LiveReplicas, Replicas
    from vmie_tui.services.aws.session import Aws
    from vmie_tui.services.describe import Described
    from vmie_tui.services.vsphere.session import VSphere
    from vmie_tui.settings import Profile, Settings, VCenterSettings


@dataclass(frozen=True, slots=True)
class ProfileInfo:
    """What the screens show and preset of the profile in use. ``vcenter`` is empty when none is configured."""

    name: str
    vcenter: str = ""
    vcenter_user: str = ""
    aws_profile: str = ""
    region: str = ""
    bucket: str = ""
    prefix: str = ""
    role_name: str = ""
    ami_name: str = ""
    description: str = ""
    tags: str = ""
    read_only: bool = False
    demo: bool = False
    config_file: str = ""


@dataclass(frozen=True, slots=True)
class AwsStatus:
    """Who AWS takes us for. ``user`` is the last part of the ARN."""

    account: str
    user: str


OnPage = Callable[["Sequence[Machine]", int], None]


class Backend(Protocol):
    """Raises ServiceError or SettingsError, nothing else, for what the outside world refuses."""

    @property
    def profile(self) -> ProfileInfo: ...
    def profiles(self) -> tuple[ProfileInfo, ...]: ...
    def switch(self, name: str) -> None: ...
    def has_password(self) -> bool: ...
    def set_password(self, password: str) -> None: ...
    def cached_inventory(self) -> Inventory | None: ...
    def inventory(self, on_page: OnPage, cancelled: Callable[[], bool]) -> Inventory: ...
    def check_machine(self, machine: Machine) -> tuple[Finding, ...]: ...
    def check_plan(self, plan: ImportPlan, machine: Machine) -> tuple[Finding, ...]: ...
    def look_at_account(self, plan: ImportPlan) -> Account: ...
    def deploy_places(self) -> DeployPlaces: ...
    def preflight(self, machine: Machine, *, snapshot: bool, on_step: Callable[[str], None]) -> Preflight: ...
    def describe(self, text: str, *, raw: bool, on_step: Callable[[str], None]) -> Described: ...
    def aws_status(self, mfa_code: str = "") -> AwsStatus: ...
    def submit(self, plan: ImportPlan | ExportPlan) -> str: ...
    def jobs(self) -> list[JobView]: ...
    def log(self, job_id: str, tail: int) -> list[LogLine]: ...
    def cancel(self, job_id: str) -> None: ...
    def pause(self, job_id: str) -> None: ...
    def resume(self, job_id: str) -> None: ...
    def plan(self, job_id: str) -> object: ...
    def machine_of(self, plan: ImportPlan) -> Machine | None: ...
    def fallback(self, job_id: str) -> str: ...
    def proof(self, job_id: str, *, all_blocks: bool, on_step: Callable[[str], None]) -> Proof: ...
    @property
    def images(self) -> Images: ...
    @property
    def desk(self) -> Desk: ...
    @property
    def outward(self) -> Outward: ...
    @property
    def doctor(self) -> Doctor: ...
    @property
    def replicas(self) -> Replicas: ...
    def worker(self) -> WorkerStatus: ...
    def save_text(self, name: str, text: str) -> str: ...


class LiveBackend:
    """The real thing: vCenter and AWS by `services`, jobs by `JobClient`."""

    def __init__(self, settings: Settings, profile: Profile) -> None:
        REFUSED.share(settings.state_dir, heed=True)  # what a worker was refused the app does not send either
        self._settings = settings
        self._profile = profile
        self._password: str | None = None
        self._client: JobClient | None = None
        self._aws: Aws | None = None
        self._desk: Desk | None = None
        self._doctor: LiveDoctor | None = None
        self._replicas: LiveReplicas | None = None
        self._lock = threading.Lock()

    @property
    def profile(self) -> ProfileInfo:
        return self._info(self._profile)

    def profiles(self) -> tuple[ProfileInfo, ...]:
        """All of the configuration, in its order."""
        return tuple(self._info(self._settings.profile(name)) for name in self._settings.profiles())

    def switch(self, name: str) -> None:
        """Go on with another profile; what is open of this one is closed. SettingsError when there is none of it."""
        chosen = self._settings.profile(name)
        with self._lock:
            opened = (self._aws, self._doctor, self._replicas)
            self._aws = self._desk = self._doctor = self._replicas = None
            self._profile, self._password = chosen, None
        for one in opened:
            if one is not None:
                one.close()

    def _info(self, profile: Profile) -> ProfileInfo:
        vcenter, aws = profile.vcenter, profile.aws
        return ProfileInfo(
            name=profile.name,
            vcenter=vcenter.host if vcenter else "",
            vcenter_user=vcenter.user if vcenter else "",
            aws_profile=aws.profile or "",
            region=aws.region,
            bucket=aws.bucket,
            prefix=aws.prefix,
            role_name=aws.role_name,
            ami_name=aws.ami_name,
            description=aws.description,
            tags=", ".join(f"{key}={value}" for key, value in aws.tags),
            read_only=profile.read_only,
            demo=profile.demo,
            config_file=str(self._settings.config_file),
        )

    # -- vCenter

    def has_password(self) -> bool:
        if self._password is None and self._profile.vcenter is not None:
            from vmie_tui.passwords import password_for

            self._password = password_for(self._profile)
        return bool(self._password)

    def set_password(self, password: str) -> None:
        from vmie_tui.passwords import keep_typed

        if self._profile.vcenter is not None:
            keep_typed(self._profile.vcenter, password)
            REFUSED.forget(self._profile.vcenter)
        self._password = password

    def cached_inventory(self) -> Inventory | None:
        if self._profile.vcenter is None:
            return None
        from vmie_tui.services.vsphere.cache import load_cached

        return load_cached(self._settings.cache_dir, self._profile.vcenter)

    def inventory(self, on_page: OnPage, cancelled: Callable[[], bool]) -> Inventory:
        vcenter = self._vcenter()
        from vmie_tui.services.vsphere.cache import save_cached
        from vmie_tui.services.vsphere.inventory import read_inventory

        try:
            with self._connected() as vsphere:
                found = read_inventory(vsphere, on_page=on_page, cancelled=cancelled)
        except ServiceError as error:
            if error.kind is ErrorKind.LOGIN:
                from vmie_tui.passwords import forget_typed

                forget_typed(vcenter)
                self._password = None  # what was typed, or read from the file, did not do
            raise
        if not cancelled():
            with contextlib.suppress(ServiceError):  # without room to keep it the list is still good
                save_cached(self._settings.cache_dir, vcenter, found)
        return found

    def deploy_places(self) -> DeployPlaces:
        """Where in vCenter a new machine can be put."""
        from vmie_tui.services.vsphere.deploy_places import read_deploy_places

        with self._connected() as vsphere:
            return read_deploy_places(vsphere)

    def _connected(self) -> VSphere:
        """A session with the profile's vCenter, which the caller closes."""
        vcenter = self._vcenter()
        from vmie_tui.services.vsphere.session import connect

        return connect(vcenter, self._password or "", read_only=self._profile.read_only)

    def _vcenter(self) -> VCenterSettings:
        """Where it is, once it is configured and the password is known; ServiceError otherwise."""
        vcenter = self._profile.vcenter
        if vcenter is None:
            raise ServiceError(
                ErrorKind.INVALID,
                "no vCenter is configured",
                subject=f"profile {self._profile.name or 'default'}",
                remedy=f"Add one to {self._settings.config_file}, or try 'vmie-tui demo'",
            )
        if not self.has_password():
            raise ServiceError(
                ErrorKind.LOGIN, "the password is not known", subject=vcenter.host, remedy="Press L to type it"
            )
        return vcenter

    def preflight(self, machine: Machine, *, snapshot: bool, on_step: Callable[[str], None]) -> Preflight:
        """The machine and its disks; a running one's only through a snapshot, when ``snapshot`` allows it."""
        from vmie_tui.services.preflight import preflight_machine

        with self._connected() as vsphere:
            return preflight_machine(
                vsphere, machine, snapshot=snapshot, read_only=self._profile.read_only, on_step=on_step
            )

    def describe(self, text: str, *, raw: bool, on_step: Callable[[str], None]) -> Described:
        """A file, objects in S3 or EBS snapshots, and what is on their disks."""
        from vmie_tui.screens.inventory.complete_path import describe

        return describe(self._profile, text, raw=raw, on_step=on_step)

    def check_machine(self, machine: Machine) -> tuple[Finding, ...]:
        from vmie_tui.model.rules.machine import check_machine

        return check_machine(machine)

    def check_plan(self, plan: ImportPlan, machine: Machine) -> tuple[Finding, ...]:
        from vmie_tui.model.rules.plan import check_plan

        return check_plan(plan, machine)

    # -- AWS

    def aws_status(self, mfa_code: str = "") -> AwsStatus:
        """Who AWS takes us for; ``mfa_code`` is what the user's device shows, where the profile wants it."""
        from vmie_tui.services.aws.session import open_session

        with self._lock:
            self._aws = None  # asked again after a login: the next call takes the new credentials
        asked = (lambda serial: mfa_code) if mfa_code else None
        aws = open_session(self._profile.aws, read_only=self._profile.read_only, mfa_code=asked)
        try:
            identity = aws.identity()
        finally:
            aws.close()
        return AwsStatus(identity.account, identity.arn.rsplit("/", 1)[-1].rsplit(":", 1)[-1])

    def _session(self) -> Aws:
        """The one session of the screens after an import: instances are watched by it."""
        with self._lock:
            if self._aws is None:
                from vmie_tui.services.aws.session import open_session

                self._aws = open_session(self._profile.aws, read_only=self._profile.read_only)
            return self._aws

    def look_at_account(self, plan: ImportPlan) -> Account:
        """The account a plan's import goes to, as far as this profile may look."""
        from vmie_tui.services.aws.account import look_at_account

        return look_at_account(self._session(), plan)

    @property
    def images(self) -> Images:
        from vmie_tui.operations.images import LiveImages

        return LiveImages(self._session, self._save)

    @property
    def desk(self) -> Desk:
        with self._lock:
            if self._desk is None:
                from vmie_tui.operations.desk import LiveDesk

                self._desk = LiveDesk(self._settings, self._profile.name, self._session)
            return self._desk

    @property
    def outward(self) -> Outward:
        from vmie_tui.operations.exports import LiveOutward

        return LiveOutward(self._session, self._settings.state_dir)

    @property
    def doctor(self) -> Doctor:
        with self._lock:
            if self._doctor is None:
                from vmie_tui.operations.doctor import LiveDoctor

                self._doctor = LiveDoctor(self._profile, self._settings.state_dir, self._known_password, self.worker)
            return self._doctor

    @property
    def replicas(self) -> Replicas:
        with self._lock:
            if self._replicas is None:
                from vmie_tui.operations.replications import LiveReplicas

                self._replicas = LiveReplicas(
                    self._settings,
                    self._profile,
                    session=self._session,
                    vsphere=self._connected,
                    inventory=lambda: self.inventory(lambda machines, total: None, lambda: False),
                )
            return self._replicas

    def _known_password(self) -> str | None:
        return self._password if self.has_password() else None

    # -- jobs

    def _jobs(self) -> JobClient:
        with self._lock:
            if self._client is None:
                from vmie_tui.operations.jobs import JobClient

                self._client = JobClient(self._settings)
            return self._client

    def submit(self, plan: ImportPlan | ExportPlan) -> str:
        return self._jobs().submit_at_once(plan)

    def jobs(self) -> list[JobView]:
        return self._jobs().jobs()

    def log(self, job_id: str, tail: int) -> list[LogLine]:
        return self._jobs().log(job_id, tail)

    def cancel(self, job_id: str) -> None:
        self._jobs().cancel(job_id)

    def pause(self, job_id: str) -> None:
        self._jobs().pause(job_id)

    def resume(self, job_id: str) -> None:
        self._jobs().resume(job_id)

    def plan(self, job_id: str) -> object:
        """What a job was asked to do: an ImportPlan, or another kind's plan."""
        return self._jobs().plan(job_id)

    def machine_of(self, plan: ImportPlan) -> Machine | None:
        """The machine a plan imports, as the inventory kept on disk knows it; None when it does not."""
        cached = self.cached_inventory() if isinstance(plan.source, VmSource) else None
        machines = cached.machines if cached is not None else ()
        return next((machine for machine in machines if machine.moid == plan.vm.moid), None)

    def fallback(self, job_id: str) -> str:
        """A new job that makes an AMI of the bytes a failed one left in AWS; its id."""
        return self._jobs().fallback(job_id)

    def proof(self, job_id: str, *, all_blocks: bool, on_step: Callable[[str], None]) -> Proof:
        """What the source sent compared with what AWS holds now; by samples, or all blocks with data."""
        return self._jobs().proof(job_id, all_blocks=all_blocks, on_step=on_step)

    def worker(self) -> WorkerStatus:
        return self._jobs().worker()

    # -- this machine

    def save_text(self, name: str, text: str) -> str:
        """Write ``text`` to a file of that name in the state folder, readable by the user alone; its path."""
        return self._save(name, text.encode())

    def _save(self, name: str, content: bytes) -> str:
        from vmie_tui.private_files import private_dir, safe_name, write_private

        folder = private_dir(self._settings.state_dir / "copied")
        return str(write_private(folder / safe_name(name), content))
