"""The ``vmie-tui export`` command that does what the form of an export describes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from vmie_tui.model.deploy_places import DeployChoice, DeployNames
from vmie_tui.model.export import DeployTarget, ExportPlan


def export_command(plan: ExportPlan, deploy: DeployChoice | None) -> str:
    """``deploy``: the places of ``plan.deploy`` by their names, which is how the command line says them."""
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
