"""One simulated account: its S3, EBS, EC2 and IAM, its tasks, and what it has in each Region."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from vmie_tui.model import facts
from vmie_tui.simulators.aws import account as accounts
from vmie_tui.simulators.aws import permissions
from vmie_tui.simulators.aws.auth import Keys
from vmie_tui.simulators.aws.conversion_tasks import Conversions
from vmie_tui.simulators.aws.ebs import EbsService
from vmie_tui.simulators.aws.ec2_models import Ec2Models
from vmie_tui.simulators.aws.export_tasks import ExportEngine
from vmie_tui.simulators.aws.history import History
from vmie_tui.simulators.aws.https_server import Service
from vmie_tui.simulators.aws.import_tasks import TaskEngine
from vmie_tui.simulators.aws.moto_bridge import MotoBridge
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.snapshots import SnapshotStore
from vmie_tui.simulators.aws.wire import ApiError, Request
from vmie_tui.simulators.control import Faults, SimClock, Stats


class Shared(Protocol):
    """The state shared by all accounts of one simulator."""

    clock: SimClock
    faults: Faults
    stats: Stats
    keys: Keys
    closing: threading.Event
    moto_lock: Any  # a threading.RLock: moto's models are not made for threads, whichever account they belong to

    def bucket_owner(self, name: str) -> str | None: ...


class Account:
    """The account ``account`` below ``root``, called with one user's access key.

    moto's models (images, roles) live in memory and begin empty; objects and snapshots are on disk. ``max_tasks``: the
    running import, export and conversion tasks a Region takes. ``disabled``: Regions that are not enabled in it.
    """

    def __init__(
        self,
        shared: Shared,
        root: Path,
        *,
        account: str,
        region: str,
        access_key: str,
        secret_key: str,
        md5_etags: bool = True,
        max_tasks: int | None = None,
    ) -> None:
        self.shared = shared
        self.root, self.region, self.account = root, region, account
        self.access_key, self.secret_key = access_key, secret_key
        self.clock, self.stats, self.faults = shared.clock, shared.stats, shared.faults
        self.keys, self.closing = shared.keys, shared.closing
        self.max_tasks = max_tasks or facts.limit("export", "concurrent_conversion_tasks_per_region_default")["value"]
        self.disabled: set[str] = set()
        self.enforced = False  # whether the user's policies decide; else it may do everything
        accounts.forget(account)
        self.snapshots = SnapshotStore(root / "snapshots", self.clock.now, self.keys.now)
        self.ec2 = Ec2Models(account, self.snapshots)
        self.ec2.lock = shared.moto_lock
        for info in self.snapshots.all():
            if info.origin == "volume":
                self.snapshots.delete(info.id)  # the volume itself was moto's, and is gone
            else:
                self.ec2.show_snapshot(info)
        self.s3 = S3Service(
            root / "s3", account, self.keys.now, self.faults, md5_etags=md5_etags, elsewhere=self._elsewhere
        )
        self.history = History(self.clock)
        self.tasks = TaskEngine(self)
        self.conversions = Conversions(self)
        self.exports = ExportEngine(self)
        self.ebs = EbsService(self.snapshots, self.clock, account, self.ec2)
        self.moto = MotoBridge(account, self, self.ec2.lock, self._before_moto)
        accounts.add_user(account, access_key, secret_key)
        self.keys.add(account, access_key, secret_key, partial(accounts.issued, account))

    def service(self, name: str) -> Service:
        """The service a signature's scope names."""
        if name == "s3":
            return self.s3
        return self.ebs if name == "ebs" else self.moto

    def limit(self, policy: Mapping[str, Any] | None) -> None:
        """Replaces the user's permissions by this policy; None: everything is allowed again."""
        self.enforced = policy is not None
        permissions.set_policy(self.account, policy or {})

    def permit(self, request: Request) -> None:
        """Raise ApiError when the user may not do this; it is counted as ``denied:`` and the call."""
        if not self.enforced:
            return
        try:
            permissions.check(self.account, request)
        except ApiError:
            self.stats.count(f"denied:{request.service}:{request.operation}", request.region)
            raise

    def _before_moto(self, request: Request) -> None:
        if request.service == "ec2":
            self.settle()  # an image shows up when its task is done, asked about or not

    def settle(self) -> None:
        """Advances all tasks to the current time of the clock."""
        self.tasks.settle()
        self.conversions.settle()
        self.exports.settle()

    def running(self, region: str) -> int:
        """The tasks that count against the Region's limit; it is one for imports and exports."""
        self.settle()
        return sum(engine.running(region) for engine in (self.tasks, self.conversions, self.exports))

    def bucket_owner(self, name: str) -> str | None:
        """The account a bucket belongs to, of all in the simulator."""
        return self.shared.bucket_owner(name)

    def _elsewhere(self, name: str) -> bool:
        owner = self.bucket_owner(name)
        return owner is not None and owner != self.account

    def seed(self, *, bucket: str | None, role: str | None = "vmimport") -> None:
        """A bucket in the simulator's Region, and the service role with trust and policy as in the guides."""
        if bucket:
            self.s3.make_bucket(bucket, self.region)
        if role:
            accounts.add_role(self.account, role, bucket or "*")
