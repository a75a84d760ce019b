"""What the form of an export has been told so far: pure values, turned into an `ExportPlan`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmie_tui.model.choice import Option
from vmie_tui.model.export import (
    CONVERT_TO,
    INSTANCE_ID,
    Container,
    DeployTarget,
    ExportFormat,
    ExportPlan,
    TargetEnvironment,
)
from vmie_tui.model.rules.exports import instance_formats

if TYPE_CHECKING:
    from vmie_tui.screens.exports.deploy_places import DeployChoice


@dataclass(slots=True)
class ExportDraft:
    """Texts are as typed. ``form``: for an instance ``format/container``, for an image the format alone."""

    source_id: str
    name: str
    region: str
    profile: str = ""
    bucket: str = ""
    prefix: str = ""
    role_name: str = ""
    target: str = TargetEnvironment.VMWARE.value
    form: str = ""
    download_to: str = ""
    convert_to: str = ""
    clean_up: bool = False
    deploy: DeployChoice | None = None
    cpus: int = 0  # of the instance, as its type has them; 0 when unknown
    memory_mib: int = 0

    def __post_init__(self) -> None:
        if not self.form:
            self.form = format_choices(self)[0].value

    @property
    def is_instance(self) -> bool:
        return self.source_id.startswith(INSTANCE_ID)

    def choose_target(self, target: str) -> None:
        """Where an instance is to run; a format that is not written for it gives way to one that is."""
        self.target = target
        allowed = [option.value for option in format_choices(self)]
        if self.form not in allowed:
            self.form = allowed[0]

    def mistakes(self) -> dict[str, str]:
        """What is wrong with the answers by field, as far as it is this machine's matter; the rules see the rest."""
        found = {}
        folder = Path(self.download_to).expanduser()
        if self.download_to and not folder.is_dir():
            found["download_to"] = "there is no such folder"
        if self.convert_to and self.convert_to.lower() not in CONVERT_TO:
            found["convert_to"] = f"one of {', '.join(CONVERT_TO)}"
        elif self.convert_to and not self.download_to:
            found["convert_to"] = "wants a folder to download to"
        if self.clean_up and not self.download_to:
            found["download_to"] = "needed: the object is deleted"
        return found

    def plan(self) -> ExportPlan:
        form, _, container = self.form.partition("/")
        folder = str(Path(self.download_to).expanduser().resolve()) if self.download_to else ""
        return ExportPlan(
            self.profile,
            self.source_id,
            self.name,
            self.region,
            self.bucket,
            self.prefix,
            ExportFormat(form),
            Container(container),
            TargetEnvironment(self.target) if self.is_instance else TargetEnvironment.NONE,
            self.role_name,
            download_to=folder,
            convert_to=self.convert_to.lower() if self.convert_to.lower() in CONVERT_TO else "",
            deploy=self._target(packed=bool(container)),
            clean_up=self.clean_up,
        )

    def _target(self, *, packed: bool) -> DeployTarget | None:
        """Where in vCenter it goes; with the instance's hardware, where no descriptor beside the disk tells it."""
        if self.deploy is None or packed:
            return self.deploy.target if self.deploy is not None else None
        return replace(self.deploy.target, cpus=self.cpus, memory_mib=self.memory_mib)


def target_choices() -> tuple[Option, ...]:
    return tuple(Option(target.value, target.value) for target in TargetEnvironment if target)


def format_choices(draft: ExportDraft) -> tuple[Option, ...]:
    """What AWS writes for the target of an instance, or of an image."""
    if not draft.is_instance:
        return tuple(Option(form.value, form.value) for form in ExportFormat)
    return tuple(
        Option(
            f"{form.value}/{container.value}", f"{container.value.upper()} ({form.value})" if container else form.value
        )
        for form, container, target in instance_formats()
        if target.value == draft.target
    )
