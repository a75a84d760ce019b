"""The one front desk: what commands and screens ask, by subject."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from vmie_tui.lazy_modules import load
from vmie_tui.operations.profile import AwsStatus, ProfileInfo, profile_info
from vmie_tui.passwords import keep_typed
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.settings import Profile, Settings

if TYPE_CHECKING:
    from vmie_tui.operations.connections import Connections
    from vmie_tui.operations.doctor import Doctor
    from vmie_tui.operations.exports import Exports
    from vmie_tui.operations.images import Images
    from vmie_tui.operations.imports import Imports
    from vmie_tui.operations.jobs import Jobs
    from vmie_tui.operations.replications import Replications
    from vmie_tui.operations.tasks import Tasks
    from vmie_tui.operations.vcenter import VCenter

# Each subject's class, and the attributes of `Operations` that it is made of. Its module is imported when the subject
# is first asked for: boto3, pyVmomi and the job store come with it, and the first paint does not wait for those.
_SUBJECTS = {
    "connections": ("connections:Connections", ("_settings", "_profile")),
    "vcenter": ("vcenter:VCenter", ("connections",)),
    "imports": ("imports:Imports", ("connections",)),
    "jobs": ("jobs:Jobs", ("_settings",)),
    "tasks": ("tasks:Tasks", ("connections",)),
    "exports": ("exports:Exports", ("connections",)),
    "images": ("images:Images", ("connections",)),
    "replications": ("replications:Replications", ("connections", "vcenter")),
    "doctor": ("doctor:Doctor", ("connections", "jobs")),
}
_OF_ALL_PROFILES = frozenset({"jobs"})


class Operations:
    """On vCenter, AWS and the job store, with one profile at a time.

    What is asked of a subject may block: call it in a thread. Raises ServiceError or SettingsError, nothing else.
    """

    connections: Connections
    vcenter: VCenter
    imports: Imports
    jobs: Jobs
    tasks: Tasks
    exports: Exports
    images: Images
    replications: Replications
    doctor: Doctor

    def __init__(self, settings: Settings, profile: Profile, password: str = "") -> None:
        """``password``: the vCenter's, where it was typed before the start."""
        self._settings, self._profile = settings, profile
        self._lock = threading.Lock()
        if password and profile.vcenter is not None:
            keep_typed(profile.vcenter, password)
            REFUSED.forget(profile.vcenter)

    def __getattr__(self, name: str) -> Any:
        """A subject that was not asked for yet: made now, and kept until the profile changes."""
        if name not in _SUBJECTS:
            raise AttributeError(name)
        place, needs = _SUBJECTS[name]
        made_of = [getattr(self, need) for need in needs]
        subject = load(f"vmie_tui.operations.{place}")
        with self._lock:
            if name not in self.__dict__:  # another thread may have been faster
                self.__dict__[name] = subject(*made_of)
            return self.__dict__[name]

    @property
    def profile(self) -> ProfileInfo:
        return profile_info(self._settings, self._profile)

    def profiles(self) -> tuple[ProfileInfo, ...]:
        """All of the configuration, in its order."""
        names = self._settings.profiles()
        return tuple(profile_info(self._settings, self._settings.profile(name)) for name in names)

    def switch(self, name: str) -> None:
        """Go on with another profile, and close what is open of this one. SettingsError for an unknown name."""
        chosen = self._settings.profile(name)
        self._close(_SUBJECTS.keys() - _OF_ALL_PROFILES)
        self._profile = chosen

    def close(self) -> None:
        """Close what is open; what is asked for afterwards is opened anew."""
        self._close(_SUBJECTS.keys())

    def _close(self, subjects: Collection[str]) -> None:
        with self._lock:
            closed = [self.__dict__.pop(subject, None) for subject in subjects]
        for one in closed:
            if hasattr(one, "close"):
                one.close()

    def aws_status(self, mfa_code: str = "") -> AwsStatus:
        """Who AWS takes us for; ``mfa_code`` is what the user's device shows, where the profile wants it."""
        account, arn = self.connections.identify(mfa_code)
        return AwsStatus(account, arn.rsplit("/", 1)[-1].rsplit(":", 1)[-1])

    def save_text(self, name: str, text: str) -> str:
        """Write ``text`` to a file of that name in the state folder, readable by the user alone; its path."""
        return self.connections.save(name, text.encode())
