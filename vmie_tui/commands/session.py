"""One invocation's settings and operations. The first paint waits for this module, so no click in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmie_tui import settings as settings_module
from vmie_tui.lazy_modules import load
from vmie_tui.settings import Settings

if TYPE_CHECKING:
    from vmie_tui.operations.jobs import Jobs
    from vmie_tui.operations.operations import Operations
    from vmie_tui.operations.replication_jobs import ReplicationJobs

# Imported when a command asks for them: the app's first paint waits for no SQLAlchemy, --version for none of it.
OPERATIONS = "vmie_tui.operations.operations:Operations"
REFUSED_LOGINS = "vmie_tui.services.vsphere.refused_logins:REFUSED"
JOBS = "vmie_tui.operations.jobs:Jobs"
REPLICATIONS = "vmie_tui.operations.replication_jobs:ReplicationJobs"


class Session:
    """The settings of one invocation, read when first needed: ``--help`` must work with a broken file."""

    def __init__(self, profile: str | None = None, *, read_only: bool = False) -> None:
        self.profile_name, self.read_only = profile, read_only
        self._settings: Settings | None = None
        self._operations: dict[str, Operations] = {}  # by profile
        self._jobs: Jobs | None = None
        self._replications: ReplicationJobs | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = settings_module.load(self.profile_name, read_only=self.read_only)
            load(REFUSED_LOGINS).share(self._settings.state_dir, heed=False)
        return self._settings

    def reload(self) -> Settings:
        self._settings = None
        return self.settings

    # Jobs and replications are of all profiles: they are shown where none is configured, too.

    @property
    def jobs(self) -> Jobs:
        if self._jobs is None:
            self._jobs = load(JOBS)(self.settings)
        return self._jobs

    @property
    def replications(self) -> ReplicationJobs:
        if self._replications is None:
            self._replications = load(REPLICATIONS)(self.settings)
        return self._replications

    @property
    def operations(self) -> Operations:
        """Of the profile in use."""
        return self.operations_of(self.settings.profile().name)

    def operations_of(self, profile: str) -> Operations:
        """Of this profile, as a job or a replication names it; closed with the session."""
        if profile not in self._operations:
            self._operations[profile] = load(OPERATIONS)(self.settings, self.settings.profile(profile))
        return self._operations[profile]

    def close(self) -> None:
        while self._operations:
            self._operations.popitem()[1].close()
        for opened in (self._jobs, self._replications):
            if opened is not None:
                opened.close()
        self._jobs = self._replications = None
