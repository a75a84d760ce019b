"""The plan of an export: what a profile presets, what follows from what was chosen, and what is said of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmie_tui.model.deploy_places import DeployChoice, DeployNames
from vmie_tui.model.export import (
    CONVERT_TO,
    IMAGE_ID,
    INSTANCE_ID,
    Container,
    DeployTarget,
    ExportFormat,
    ExportPlan,
    TargetEnvironment,
)
from vmie_tui.model.exportable import Exportable, ExportBucket
from vmie_tui.model.finding import Finding
from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import one_line
from vmie_tui.model.rules.deploying import check_deploy
from vmie_tui.model.rules.exports import check_export, instance_formats
from vmie_tui.operations.profile import ProfileInfo

WRITTEN_FOR = {  # where an instance runs whose format alone was chosen
    ExportFormat.VMDK: TargetEnvironment.VMWARE,
    ExportFormat.VHD: TargetEnvironment.MICROSOFT,
}


@dataclass(slots=True)
class ExportDraft:
    """What was answered so far; texts are as typed."""

    source_id: str
    name: str
    region: str
    profile: str = ""
    bucket: str = ""
    prefix: str = ""
    role_name: str = ""
    target: str = TargetEnvironment.VMWARE.value
    form: str = ""  # of an instance ``format/container``, of an image the format alone
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
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

    def choose(self, target: str | None, form: str | None, container: str | None) -> None:
        """What was said of target, format and container, and what follows from it; the rules judge the rest."""
        if self.is_instance:
            written_for = WRITTEN_FOR.get(ExportFormat(form), TargetEnvironment.VMWARE) if form else None
            self.choose_target(target or (written_for.value if written_for else self.target))
            usual_form, _, usual_container = self.form.partition("/")
            packed = container or (Container.NONE if form else usual_container)
            self.form = f"{form or usual_form}/{'' if packed == 'none' else packed}"
        elif form or container == Container.OVA:
            self.form = f"{form or self.form}/{Container.OVA}" if container == Container.OVA else str(form)

    def take(self, thing: Exportable) -> None:
        """Note what AWS says of the source."""
        self.name = one_line(thing.name) or self.source_id
        self.cpus, self.memory_mib = thing.cpus, thing.memory_mib

    def mistakes(self) -> dict[str, str]:
        """What is wrong with the answers by field, as far as it is this machine's matter; the rules see the rest."""
        found = {}
        if self.download_to and not self._folder.is_dir():
            found["download_to"] = "there is no such folder"
        if self.convert_to and self.convert_to.lower() not in CONVERT_TO:
            found["convert_to"] = f"one of {', '.join(CONVERT_TO)}"
        elif self.convert_to and not self.download_to:
            found["convert_to"] = "wants a folder to download to"
        if self.clean_up and not self.download_to:
            found["download_to"] = "needed: the object is deleted"
        return found

    @property
    def _folder(self) -> Path:
        return Path(self.download_to).expanduser()

    def plan(self) -> ExportPlan:
        form, _, container = self.form.partition("/")
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
            self.description,
            self.tags,
            download_to=str(self._folder.resolve()) if self.download_to else "",
            convert_to=self.convert_to.lower() if self.convert_to.lower() in CONVERT_TO else "",
            deploy=self._target(packed=bool(container)),
            clean_up=self.clean_up,
        )

    def _target(self, *, packed: bool) -> DeployTarget | None:
        """Where in vCenter it goes; with the instance's hardware, where neither a descriptor nor the user says it."""
        if self.deploy is None:
            return None
        target = self.deploy.target
        if packed:
            return target
        return replace(target, cpus=target.cpus or self.cpus, memory_mib=target.memory_mib or self.memory_mib)

    def findings(self, thing: Exportable, bucket: ExportBucket | None) -> tuple[Finding, ...]:
        """What the rules say of the plan, of its source and bucket as far as they are known, and of the new machine."""
        plan, thing = self.plan(), replace(thing, bucket=bucket)
        free = self.deploy.free if self.deploy is not None else None
        return (*check_export(plan, thing), *check_deploy(plan, thing, free))


def new_draft(profile: ProfileInfo, source_id: str, region: str = "") -> ExportDraft:
    """With what the profile presets. Its bucket lies in its own Region, and AWS exports to no other.

    Raises ValueError for an id that is neither an instance's nor an image's.
    """
    if not source_id.startswith((INSTANCE_ID, IMAGE_ID)):
        raise ValueError(f"{source_id!r} is neither an instance (i-…) nor an image (ami-…)")
    region = region or profile.region
    return ExportDraft(
        source_id,
        source_id,
        region,
        profile.name,
        profile.bucket if region == profile.region else "",
        profile.prefix,
        profile.role_name,
    )


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


# -- the same by hand


def export_command(plan: ExportPlan, deploy: DeployChoice | None) -> str:
    """The ``vmie-tui export`` command that does the same.

    ``deploy``: the places of ``plan.deploy`` by their names, which is how the command line says them.
    """
    words = ["vmie-tui", "--profile", plan.profile, "export", plan.source_id, *_options(plan)]
    if plan.deploy is not None and deploy is not None:
        words += _places(plan.deploy, deploy.names)
    return shlex.join(words)


def _options(plan: ExportPlan) -> Iterator[str]:
    yield from ("--format", plan.format.value)
    if plan.is_instance:
        yield from ("--target", plan.target_environment.value, "--container", plan.container.value or "none")
    else:
        yield from ("--role-name", plan.role_name)
    yield from ("--region", plan.region, "--bucket", plan.bucket, "--prefix", plan.prefix)
    if plan.download_to:
        yield from ("--download", plan.download_to)
    if plan.description:
        yield from ("--description", plan.description)
    for key, value in plan.tags.items():
        yield from ("--tag", f"{key}={value}")
    if plan.convert_to:
        yield from ("--convert", plan.convert_to)
    if plan.clean_up:
        yield "--clean-up"


def _places(target: DeployTarget, names: DeployNames) -> Iterator[str]:
    yield from ("--deploy", target.name, "--pool", names.pool, "--datastore", names.datastore)
    for option, value in (("--folder", names.folder), ("--network", names.network)):
        if value:
            yield from (option, value)
    if target.cpus and target.memory_mib:
        yield from ("--cpus", str(target.cpus), "--memory", str(target.memory_mib))
