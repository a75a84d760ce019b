"""The simulated AWS as one object: one loopback endpoint for every service, started and stopped by its owner."""

from __future__ import annotations

import threading
from pathlib import Path

from vmie_tui.model import facts
from vmie_tui.simulators.aws import (
    conversions,
    exports,
    images,
    instances,
    moto_extensions,
    permissions,
    regions,
    vmimport,
    volume_data,
)
from vmie_tui.simulators.aws.auth import Keys
from vmie_tui.simulators.aws.history_seed import past_tasks
from vmie_tui.simulators.aws.https_server import Server
from vmie_tui.simulators.aws.wire import Request
from vmie_tui.simulators.aws.world import Account
from vmie_tui.simulators.control import Faults, Gate, Serving, SimClock, Stats, TlsFiles

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - AWS's own placeholder
BUSY_REGIONS = ("eu-central-1", "us-east-1", "us-west-2")  # where a small past is, besides our own
DEFAULT_SPEED = 60.0  # a ten-minute import in ten seconds


class AwsSimulator(Account, Serving):
    """S3, EBS direct, EC2 with VM import, IAM, STS and KMS on ``https://localhost:<port>`` (HTTP without ``tls``).

    ``root`` holds objects and snapshots and may be used again by a later start; moto's models (images, roles) live in
    memory and begin empty. Only one simulator per account can run in a process; `add_account` puts more accounts into
    this one, each reached with its own access key. ``clock`` runs 60 times as fast as the
    wall clock unless one is given; dates shown are those of the wall clock. ``s3_rate``: bytes per second and
    connection, None is unlimited. ``md5_etags``: False gives objects an ETag that is no MD5, which saves time.
    ``control_token``: what the controls ask for (`Gate`).

    Faults (`Faults.add`, ``POST /_sim/faults``) go by operation (``UploadPart``, ``ImportImage``, ``GetRole``), matched
    against path and, outside S3 and EBS, the request's body. Actions: error (with code, message, status), reset, delay
    (seconds), expired-token, reset-midway (``after`` bytes of an UploadPart or PutObject), fail-task (ImportImage,
    ImportSnapshot, ImportInstance, ImportVolume, CreateInstanceExportTask and ExportImage; ``code`` may be the id of a
    documented error, ``match`` is looked for in ``bucket/key``, of exports with the id of what is exported behind it).
    The operation ``Auth`` with action expired-token stands for every call (``match``: part of ``service:operation``). A
    Region's trouble is a fault with ``operation="*"`` and its ``region``: deny (may not do this there), disabled (one
    that has to be enabled first), throttle, timeout (never an answer).
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
        control_token: str = "",
    ) -> None:
        self.clock = clock or SimClock(DEFAULT_SPEED)
        self.stats, self.faults, self.keys = Stats(), Faults(), Keys()
        self.gate = Gate(control_token)
        self.s3_rate = s3_rate
        self.closing, self.moto_lock = threading.Event(), threading.RLock()
        self._tls, self._port = tls, port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self.accounts: dict[str, Account] = {account: self}
        moto_extensions.install(
            [
                *vmimport.OPERATIONS,
                *exports.OPERATIONS,
                *images.OPERATIONS,
                *instances.OPERATIONS,
                *regions.OPERATIONS,
                *conversions.OPERATIONS,
                *volume_data.OPERATIONS,
            ]
        )
        permissions.install()
        super().__init__(
            self,
            root,
            account=account,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            md5_etags=md5_etags,
            max_tasks=max_tasks,
        )

    def add_account(self, account: str, access_key: str, **options: object) -> Account:
        """Adds an account with its own buckets, images and tasks; ``options`` as `Account`."""
        values = {"region": self.region, "max_tasks": self.max_tasks, **options}
        added = Account(
            self,
            self.root / "accounts" / account,
            account=account,
            access_key=access_key,
            secret_key=SECRET_KEY,
            **values,  # type: ignore[arg-type]
        )
        self.accounts[account] = added
        return added

    def limit_puts(self, per_second: int | None) -> None:
        """Limits the blocks that each account may put per second; None: unlimited."""
        for account in self.accounts.values():
            account.ebs.puts_per_second = per_second

    def seed_history(self, tasks: int, regions: int, account: str = "") -> list[str]:
        """Seeds an account's history with so many tasks over so many Regions, ours first; returns those Regions."""
        by_region = facts.load("access")["export_bucket"]["canonical_account_ids"]["by_region"]
        more = [item["region"] for item in by_region if not item["region"].startswith(("cn-", "us-gov-"))]
        places = list(
            dict.fromkeys([self.region, *BUSY_REGIONS, *facts.load("regions")["defaults"]["enabled"], *sorted(more)])
        )
        chosen, owner = places[:regions], self.accounts[account or self.account]
        owner.history.add(past_tasks(tasks, chosen, self.clock.now(), seed=owner.account))
        return chosen

    def account_of(self, request: Request) -> Account:
        """The account whose key signed a request; the first account for an unknown key."""
        found = self.keys.find(request.scope.access_key) if request.scope else None
        return self.accounts[found[0]] if found else self

    def bucket_owner(self, name: str) -> str | None:
        """The account that has a bucket of this name."""
        return next((key for key, each in self.accounts.items() if each.s3.store.bucket(name) is not None), None)

    # life

    def start(self) -> None:
        """Listen; returns at once."""
        self.closing.clear()
        self._server = Server(self._port, self, self._tls)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="aws", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops listening and cuts open connections; data on disk stays."""
        self.closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.close_all()
            self._server = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"
