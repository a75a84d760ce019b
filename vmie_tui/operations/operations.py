"""The one front desk: what commands and screens ask, by subject."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any

from vmie_tui.operations.profile import AwsStatus, ProfileInfo, profile_info
from vmie_tui.passwords import keep_typed
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.settings import Profile, Settings

if TYPE_CHECKING:
    from vmie_tui.operations.connections import Connections
    from vmie_tui.operations.desk import LiveDesk
    from vmie_tui.operations.doctor import LiveDoctor
    from vmie_tui.operations.exports import LiveOutward
    from vmie_tui.operations.images import LiveImages
    from vmie_tui.operations.import_check import Imports
    from vmie_tui.operations.jobs import JobClient
    from vmie_tui.operations.replications import LiveReplicas
    from vmie_tui.operations.vcenter import VCenter

# Each subject's class, and the attributes of `Operations` that it is made of. Its module is imported when the subject
# is first asked for: boto3, pyVmomi and the job store come with it, and the first paint does not wait for those.
_SUBJECTS = {
    "connections": ("connections:Connections", ("_settings", "_profile")),
    "vcenter": ("vcenter:VCenter", ("connections",)),
    "imports": ("import_check:Imports", ("connections",)),
    "jobs": ("jobs:JobClient", ("_settings",)),
    "tasks": ("desk:LiveDesk", ("connections",)),
    "exports": ("exports:LiveOutward", ("connections",)),
    "images": ("images:LiveImages", ("connections",)),
    "replications": ("replications:LiveReplicas", ("connections", "vcenter")),
    "doctor": ("doctor:LiveDoctor", ("connections", "jobs")),
}
_OF_ALL_PROFILES = frozenset({"jobs"})


class Operations:
    """On vCenter, AWS and the job store, with one profile at a time.

    What is asked of a subject may block: call it in a thread. Raises ServiceError or SettingsError, nothing else.
    """

    connections: Connections
    vcenter: VCenter
    imports: Imports
    jobs: JobClient
    tasks: LiveDesk
    exports: LiveOutward
    images: LiveImages
    replications: LiveReplicas
    doctor: LiveDoctor

    def __init__(self, settings: Settings, profile: Profile, password: str = "") -> None:
        """``password``: the vCenter's, where it was typed before the start."""
        REFUSED.share(settings.state_dir, heed=True)  # what a worker was refused the app does not send either
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
        module, attribute = place.split(":")
        subject = getattr(importlib.import_module(f"vmie_tui.operations.{module}"), attribute)
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
        with self._lock:
            closed = [self.__dict__.pop(subject, None) for subject in _SUBJECTS.keys() - _OF_ALL_PROFILES]
            self._profile = chosen
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
