"""The simulated AWS as one object: one loopback endpoint for every service, started and stopped by its owner."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from vmie_tui.model import facts
from vmie_tui.simulators.aws import account as accounts
from vmie_tui.simulators.aws import images, plugin, vmimport
from vmie_tui.simulators.aws.auth import Keys
from vmie_tui.simulators.aws.ebs import EbsService
from vmie_tui.simulators.aws.ec2_models import Ec2Models
from vmie_tui.simulators.aws.front import Server, Service
from vmie_tui.simulators.aws.import_tasks import TaskEngine
from vmie_tui.simulators.aws.moto_bridge import MotoBridge
from vmie_tui.simulators.aws.s3 import S3Service
from vmie_tui.simulators.aws.snapshots import SnapshotStore
from vmie_tui.simulators.aws.wire import Request
from vmie_tui.simulators.control import Faults, SimClock, Stats, TlsFiles

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - AWS's own placeholder
DEFAULT_SPEED = 60.0  # a ten-minute import in ten seconds


class AwsSimulator:
    """S3, EBS direct, EC2 with VM import, IAM, STS and KMS on ``https://localhost:<port>`` (HTTP without ``tls``).

    ``root`` holds objects and snapshots and may be used again by a later start; moto's models (images, roles) live in
    memory and begin empty. Only one simulator per account can run in a process. ``clock`` runs 60 times as fast as the
    wall clock unless one is given; dates shown are those of the wall clock. ``s3_rate``: bytes per second and
    connection, None is unlimited. ``md5_etags``: False gives objects an ETag that is no MD5, which saves time.

    Faults (`Faults.add`, ``POST /_sim/faults``) go by operation (``UploadPart``, ``ImportImage``, ``GetRole``), matched
    against path and, outside S3 and EBS, the request's body. Actions: error (with code, message, status), reset, delay
    (seconds), expired-token, reset-midway (``after`` bytes of an UploadPart or PutObject), fail-task (ImportImage and
    ImportSnapshot; ``code`` may be the id of a documented error, ``match`` is looked for in ``bucket/key``). The
    operation ``Auth`` with action expired-token stands for every call (``match``: part of ``service:operation``).
    """

    def __init__(
        self,
        root: Path,
        *,
        tls: TlsFiles | None = None,
        port: int = 0,
        region: str = "eu-west-1",
        account: str = "111122223333",
        clock: SimClock | None = None,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
        s3_rate: float | None = None,
        md5_etags: bool = True,
        max_tasks: int | None = None,
    ) -> None:
        self.root, self.region, self.account = root, region, account
        self.access_key, self.secret_key = access_key, secret_key
        self.clock = clock or SimClock(DEFAULT_SPEED)
        self.stats, self.faults = Stats(), Faults()
        self.keys = Keys(access_key, secret_key, partial(accounts.issued, account))
        self.s3_rate = s3_rate
        self.closing = threading.Event()
        self.max_tasks = max_tasks or facts.limit("export", "concurrent_conversion_tasks_per_region_default")["value"]
        self._tls, self._port = tls, port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        accounts.forget(account)
        plugin.install([*vmimport.OPERATIONS, *images.OPERATIONS])
        self.snapshots = SnapshotStore(root / "snapshots", self.clock.now, self.keys.now)
        self.ec2 = Ec2Models(account, self.snapshots)
        for info in self.snapshots.all():
            self.ec2.show_snapshot(info)
        self.s3 = S3Service(root / "s3", account, self.keys.now, self.faults, md5_etags=md5_etags)
        self.tasks = TaskEngine(self)
        self.ebs = EbsService(self.snapshots, self.clock, account, self.ec2)
        self.moto = MotoBridge(account, self, self.ec2.lock, self._before_moto)
        accounts.add_user(account, access_key, secret_key)

    def service(self, name: str) -> Service:
        """The service a signature's scope names."""
        if name == "s3":
            return self.s3
        return self.ebs if name == "ebs" else self.moto

    def _before_moto(self, request: Request) -> None:
        if request.service == "ec2":
            self.tasks.settle()  # an image shows up when its task is done, asked about or not

    # life

    def start(self) -> None:
        """Listen; returns at once."""
        self.closing.clear()
        self._server = Server(self._port, self, self._tls)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="aws", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and cut what is connected; what is on disk stays."""
        self.closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    # content

    def seed(self, *, bucket: str | None, role: str | None = "vmimport") -> None:
        """A bucket in the simulator's Region, and the service role with trust and policy as in the guides."""
        if bucket:
            self.s3.make_bucket(bucket, self.region)
        if role:
            accounts.add_role(self.account, role, bucket or "*")
