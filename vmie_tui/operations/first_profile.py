"""What the guided set-up asks of the world: one protocol, and its real implementation. Every method blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vmie_tui.config_file import add_profile, profile_text
from vmie_tui.passwords import keep_in_keyring, usable_keyring
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.session import known_profiles, open_session
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.services.vsphere.session import connect
from vmie_tui.services.vsphere.tls import shown_thumbprint
from vmie_tui.settings import AwsSettings, Settings, VCenterSettings

PIN, CA, SYSTEM = "pin", "ca", "system"
KEYRING, ASK = "keyring", "ask"


@dataclass(slots=True)
class Guide:
    """What was answered so far. ``host`` may end in a port; ``thumbprint`` is what was shown and is to be pinned."""

    name: str = "prod"
    host: str = ""
    user: str = ""
    password: str = field(default="", repr=False)  # no traceback shows it
    keep: str = ASK
    trust: str = SYSTEM
    ca_file: str = ""
    thumbprint: str = ""
    aws_profile: str = ""
    region: str = ""
    bucket: str = ""

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, colon, port = self.host.rpartition(":")
        bare = ":" in host and not host.endswith("]")  # an IPv6 address by itself
        return (host, int(port)) if colon and port.isdigit() and not bare else (self.host, 443)

    def vcenter(self) -> dict[str, str | int]:
        """Of the profile's vCenter table; empty without a vCenter."""
        if not self.host:
            return {}
        host, port = self.place
        return {
            "host": host,
            "user": self.user,
            "port": port if port != 443 else "",
            "ca_file": self.ca_file if self.trust == CA else "",
            "thumbprint": self.thumbprint if self.trust == PIN else "",
        }

    def aws(self) -> dict[str, str | int]:
        return {"profile": self.aws_profile, "region": self.region, "bucket": self.bucket}


class SetupBackend(Protocol):
    @property
    def config_file(self) -> str: ...
    @property
    def name(self) -> str: ...
    def aws_profiles(self) -> tuple[tuple[str, str], ...]: ...
    def keyring(self) -> str: ...
    def thumbprint(self, guide: Guide) -> str: ...
    def try_vcenter(self, guide: Guide) -> str: ...
    def try_aws(self, guide: Guide) -> str: ...
    def text(self, guide: Guide) -> str: ...
    def write(self, guide: Guide) -> str: ...


class LiveSetup:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def config_file(self) -> str:
        return str(self._settings.config_file)

    @property
    def name(self) -> str:
        """What the profile shall be called: as the file says already, if it does."""
        wanted = self._settings.default_profile
        return wanted if wanted and wanted not in self._settings.table else "prod"

    def aws_profiles(self) -> tuple[tuple[str, str], ...]:
        """(name, Region) of the profiles in ~/.aws; Region empty where none is set there."""
        return known_profiles()

    def keyring(self) -> str:
        """The name of the keyring a password can be kept in; empty when this machine has none."""
        return usable_keyring()

    def thumbprint(self, guide: Guide) -> str:
        """The SHA-256 thumbprint of the certificate vCenter shows, to be compared by the user; raises ServiceError."""
        return shown_thumbprint(*guide.place)

    def try_vcenter(self, guide: Guide) -> str:
        """Log in and out; who answered, in words. Raises ServiceError."""
        host, port = guide.place
        ca_file = Path(guide.ca_file).expanduser() if guide.trust == CA else None
        pinned = guide.thumbprint if guide.trust == PIN else None
        settings = VCenterSettings(host, guide.user, port, ca_file, pinned)
        REFUSED.forget(settings)  # it was typed just now
        with connect(settings, guide.password, read_only=True) as vsphere:
            return f"{vsphere.info.full_name or host} lets {vsphere.info.user or guide.user} in"

    def try_aws(self, guide: Guide) -> str:
        """Ask who is signed in, and look at the bucket; in words. Raises ServiceError."""
        aws = open_session(AwsSettings(profile=guide.aws_profile or None, region=guide.region), read_only=True)
        try:
            identity = aws.identity()
            words = f"account {identity.account}, {identity.arn.rsplit(':', 1)[-1]}"
            if guide.bucket:
                ObjectStore(aws, guide.region).check_bucket(guide.bucket)
                words += f"; bucket {guide.bucket} is in {guide.region}"
        finally:
            aws.close()
        return words

    def text(self, guide: Guide) -> str:
        """What would be added to the file."""
        return profile_text(guide.name, guide.vcenter(), guide.aws())

    def write(self, guide: Guide) -> str:
        """Keep the password if that was asked for, then write the file; its path. Raises VmieError."""
        if guide.host and guide.password and guide.keep == KEYRING:
            keep_in_keyring(VCenterSettings(guide.place[0], guide.user), guide.password)
        return str(add_profile(self._settings.config_file, guide.name, guide.vcenter(), guide.aws()))
