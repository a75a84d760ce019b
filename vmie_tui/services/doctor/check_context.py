"""What the checks examine: one profile's AWS and vCenter, each opened on first use and cached."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.doctor import USUAL_FEATURES, Check, CheckState, Feature, Fix, Group
from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.model.job import WorkerStatus
from vmie_tui.services.aws.iam.role_probes import principal
from vmie_tui.services.aws.regions import anywhere, partition_of, sign_in
from vmie_tui.services.aws.session import Aws, Identity, open_session
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.settings import Profile

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
T = TypeVar("T")


def method_name(operation: str) -> str:
    """The boto3 method of an operation: PutRolePolicy -> put_role_policy."""
    return _WORD.sub("_", operation).lower()


class Skip(Exception):
    """Raised by a check that does not apply; says why."""


@dataclass(slots=True)
class Patient(Closing):
    """One profile to look at. A context manager; every method may be called from any thread.

    ``password``: gives vCenter's, None when there is none. ``environ``: of the terminal doctor runs in.
    ``worker``: asks for the state of the worker; None where nobody can.
    """

    profile: Profile
    state_dir: Path
    features: frozenset[Feature] = USUAL_FEATURES
    password: Callable[[], str | None] = lambda: None
    environ: Mapping[str, str] = field(default_factory=dict)
    worker: Callable[[], WorkerStatus] | None = None
    _kept: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _locks: dict[str, threading.RLock] = field(default_factory=dict)

    # -- asked once

    def once(self, name: str, make: Callable[[], T]) -> T:
        """``make()``, kept under a name until `forget`; a ServiceError is kept too, and raised each time."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.RLock())
        with lock:
            if name not in self._kept:
                try:
                    self._kept[name] = make()
                except VmieError as error:
                    self._kept[name] = error
            found = self._kept[name]
        if isinstance(found, VmieError):
            raise found
        return found  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Clears the cache, keeping the sessions."""
        with self._lock:
            self._kept = {name: value for name, value in self._kept.items() if name in {"aws", "vsphere"}}

    # -- AWS

    def aws(self) -> Aws:
        """The profile's AWS. Raises ServiceError when there are no credentials."""
        return self.once("aws", lambda: open_session(self.profile.aws, read_only=self.profile.read_only))

    def identity(self) -> Identity:
        """The caller's identity. Raises ServiceError."""
        return self.once("identity", lambda: sign_in(self.aws(), self.region))

    def regional(self) -> None:
        """Raises ServiceError when STS of the Region does not know this account."""

        def ask() -> bool:
            self.aws().identity()
            return True

        try:
            self.once("regional", ask)
        except ServiceError as error:
            raise ServiceError(
                error.kind,
                "STS is not active for this account in the Region",
                subject=self.region,
                remedy=f"Enable {self.region}, and STS in it, in the account's settings",
                code=error.problem.code,
                detail=error.problem.detail,
            ) from error

    def in_region(self) -> Aws:
        """AWS once the sign-in is proven in the Region itself; else Skip."""
        aws = self.signed_in()
        try:
            self.regional()
        except VmieError as error:
            raise Skip(f"{self.region} does not let this account in") from error
        return aws

    def signed_in(self) -> Aws:
        """AWS once the sign-in is proven; Skip otherwise, because a check of its own reports it."""
        try:
            self.identity()
            return self.aws()
        except VmieError as error:
            raise Skip("AWS does not let this profile in") from error

    @property
    def region(self) -> str:
        """Raises ServiceError INVALID when none is set."""
        return self.aws().region

    @property
    def partition(self) -> str:
        return partition_of(self.region)

    @property
    def holder(self) -> str:
        """The ARN of the user or role whose policies decide what this profile may do."""
        return self.once("holder", lambda: principal(self.aws(), self.identity().arn))

    @property
    def anywhere(self) -> str:
        """An enabled Region, for calls that belong to none."""
        return anywhere(self.region)

    @property
    def role_arn(self) -> str:
        name = self.profile.aws.role_name
        return f"arn:{self.partition}:iam::{self.identity().account}:role/{name}"

    # -- vCenter

    def vsphere(self) -> VSphere:
        """The profile's vCenter, for reading only. Raises Skip without one, ServiceError when it lets us not in."""
        return self.once("vsphere", lambda: self.open_vsphere(read_only=True))

    def open_vsphere(self, *, read_only: bool) -> VSphere:
        """A session of its own with the profile's vCenter, which the caller closes. Raises as `vsphere`."""
        settings = self.profile.vcenter
        if settings is None:
            raise Skip("the profile has no vCenter")
        password = self.password()
        if password is None:
            raise ServiceError(
                ErrorKind.LOGIN,
                "there is no password for vCenter",
                subject=f"{settings.user} at {settings.host}",
                remedy="Set password_file or password_command, store it in the keyring, or set VMIE_VCENTER_PASSWORD",
            )
        return connect(settings, password, read_only=read_only)

    def logged_in(self) -> VSphere:
        """vCenter once the login succeeded; Skip otherwise, because a check of its own reports it."""
        try:
            return self.vsphere()
        except VmieError as error:
            raise Skip("vCenter does not let this profile in") from error

    def close(self) -> None:
        kept, self._kept = self._kept, {}
        for name in ("aws", "vsphere"):
            if name in kept and not isinstance(kept[name], VmieError):
                with contextlib.suppress(Exception):
                    kept[name].close()


@dataclass(frozen=True, slots=True)
class Look:
    """One examination and how to run it; makes the checks that report what was found."""

    id: str
    group: Group
    title: str
    run: Callable[[Patient, Look], Any]
    fact: str = ""  # where it is documented

    def part(self, ident: str, title: str) -> Look:
        """One of several of its kind: ``permissions`` of a feature, a datacenter, a host."""
        return Look(f"{self.id}.{ident}", self.group, title, self.run, self.fact)

    def ok(self, reason: str) -> Check:
        return self._check(CheckState.OK, reason)

    def warning(self, reason: str, remedy: str, fix: Fix | None = None) -> Check:
        return self._check(CheckState.WARNING, reason, remedy, fix)

    def failed(self, reason: str, remedy: str, fix: Fix | None = None) -> Check:
        return self._check(CheckState.FAILED, reason, remedy, fix)

    def skipped(self, reason: str, remedy: str = "") -> Check:
        return self._check(CheckState.SKIPPED, reason, remedy)

    def trouble(self, error: VmieError) -> Check:
        """The check for a failed examination: inconclusive without permission, otherwise failed."""
        problem = error.problem
        words = f"{problem.subject}: {problem.what}" if problem.subject else problem.what
        words += f" ({problem.detail})" if problem.detail else ""
        if problem.kind in {ErrorKind.PERMISSION, ErrorKind.REFUSED}:
            return self.skipped(f"could not be looked at: {words}", problem.remedy)
        if problem.kind is ErrorKind.TLS:
            return replace(self.failed(words, problem.remedy), fact=_CERTIFICATES.get(problem.code, _RE_SIGNED))
        return self.failed(words, problem.remedy)

    def _check(self, state: CheckState, reason: str, remedy: str = "", fix: Fix | None = None) -> Check:
        return Check(self.id, self.group, self.title, state, reason, remedy, self.fact, fix)


_CERTIFICATES = {"CertificateNameMismatch": "F448", "CertificateExpired": "F448"}
_RE_SIGNED = "F449"  # by a proxy, or an authority that nobody has named: both want its file in the settings
