"""What is open of one profile: its AWS session, sessions with its vCenter, and the password that was typed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.passwords import PASSWORD_VARIABLE, forget_typed, keep_typed, password_for
from vmie_tui.private_files import private_dir, safe_name, write_private
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.settings import Profile, Settings, VCenterSettings


@contextmanager
def read_only_aws(profile: Profile) -> Iterator[Aws]:
    """A session of its own with the profile's AWS, through which nothing can be changed."""
    aws = open_session(profile.aws, read_only=True)
    try:
        yield aws
    finally:
        aws.close()


def open_vcenter(profile: Profile) -> VSphere:
    """A session with the profile's vCenter, to be closed. Raises ServiceError."""
    if profile.vcenter is None:
        raise ServiceError(ErrorKind.INVALID, "the profile names no vCenter", subject=profile.name)
    password = password_for(profile)
    if password is None:
        raise ServiceError(
            ErrorKind.LOGIN,
            "there is no password for this vCenter",
            subject=f"{profile.vcenter.user}@{profile.vcenter.host}",
            remedy=f"Set {PASSWORD_VARIABLE}, name a password_file, or store it in the keyring",
        )
    return connect(profile.vcenter, password, read_only=profile.read_only)


class Connections:
    """Every method may block, and any thread may call it. Raises ServiceError or SettingsError."""

    def __init__(self, settings: Settings, profile: Profile) -> None:
        self.settings, self.profile = settings, profile
        self._password: str | None = None
        self._aws: Aws | None = None
        self._lock = threading.Lock()

    # -- AWS

    def aws(self) -> Aws:
        """The profile's one session, opened when it is first asked for."""
        with self._lock:
            if self._aws is None:
                self._aws = open_session(self.profile.aws, read_only=self.profile.read_only)
            return self._aws

    def forget_aws(self) -> None:
        """After a login: the next call of `aws` takes the new credentials."""
        with self._lock:
            self._aws = None

    def identify(self, mfa_code: str = "") -> tuple[str, str]:
        """Account and ARN that AWS takes the credentials for; ``mfa_code`` is what the user's device shows."""
        self.forget_aws()
        asked = (lambda serial: mfa_code) if mfa_code else None
        aws = open_session(self.profile.aws, read_only=self.profile.read_only, mfa_code=asked)
        try:
            identity = aws.identity()
        finally:
            aws.close()
        return identity.account, identity.arn

    # -- vCenter

    def password(self) -> str | None:
        """The vCenter's: as typed, else as the settings say; None while it is not known."""
        if self._password is None and self.profile.vcenter is not None:
            self._password = password_for(self.profile)
        return self._password or None

    def type_password(self, password: str) -> None:
        if self.profile.vcenter is not None:
            keep_typed(self.profile.vcenter, password)
            REFUSED.forget(self.profile.vcenter)
        self._password = password

    def forget_password(self) -> None:
        """vCenter refused it: it is read, or typed, again."""
        if self.profile.vcenter is not None:
            forget_typed(self.profile.vcenter)
        self._password = None

    def vsphere(self) -> VSphere:
        """A new session with the profile's vCenter, which the caller closes."""
        return connect(self.vcenter(), self.password() or "", read_only=self.profile.read_only)

    def vcenter(self) -> VCenterSettings:
        """Where it is, once it is configured and the password is known; ServiceError otherwise."""
        vcenter = self.profile.vcenter
        if vcenter is None:
            raise ServiceError(
                ErrorKind.INVALID,
                "no vCenter is configured",
                subject=f"profile {self.profile.name or 'default'}",
                remedy=f"Add one to {self.settings.config_file}, or try 'vmie-tui demo'",
            )
        if self.password() is None:
            raise ServiceError(
                ErrorKind.LOGIN,
                "the password is not known",
                subject=vcenter.host,
                remedy=f"Type it in the app (L), set {PASSWORD_VARIABLE}, name a password_file, or use the keyring",
            )
        return vcenter

    # -- this machine

    def save(self, name: str, content: bytes) -> str:
        """Write a file of that name into the state folder, readable by the user alone; its path."""
        folder = private_dir(self.settings.state_dir / "copied")
        return str(write_private(folder / safe_name(name), content))

    def close(self) -> None:
        with self._lock:
            opened, self._aws = self._aws, None
        if opened is not None:
            opened.close()
