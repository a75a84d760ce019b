"""The last steps of an import: a test instance, tags, copies in other Regions, and the clean-up."""

from __future__ import annotations

from typing import Any

from vmie_tui.jobs.engine.import_context import ImportContext
from vmie_tui.jobs.engine.ports import StepHooks
from vmie_tui.jobs.engine.tags import TAG_JOB, tags
from vmie_tui.jobs.imports.register_image import ami_name
from vmie_tui.jobs.transfer.target_s3 import remove_object, target_of
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.job import Stage
from vmie_tui.model.plan import ImportPlan, ObjectSource, Route
from vmie_tui.services.aws.ec2.images import CopyRequest, copy_image, describe_image, tag, wait_for_image
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot, tagged_instances
from vmie_tui.services.aws.ec2.launch import (
    InstanceState,
    LaunchRequest,
    console_output,
    launch,
    pick_instance_type,
    terminate,
    wait_for_checks,
)

CHECK_SECONDS = 900.0  # how long a test instance's status checks are waited for
CONSOLE_LINES = 15  # of the test instance's console, for the log


def launch_test(context: ImportContext, hooks: StepHooks) -> dict[str, Any]:
    """Launch the test instance, once. Returns ``{"instance": id}``."""
    plan, record, ledger, wanted = context.plan, context.record, context.ledger, context.plan.test_launch
    if wanted is None:
        return {}
    context.start_stage(Stage.LAUNCH)
    if ledger.instance:
        return {"instance": ledger.instance}
    if ledger.launch_asked and (found := next(iter(_own_instances(context)), "")):
        return _note_instance(context, found)  # a killed worker asked for it; EC2 knows the token for about a day only
    hooks.before_launch()
    image = context.retry(lambda: describe_image(context.aws, plan.region, record.image_id))
    kind = wanted.instance_type
    if not kind:
        machine = context.machine
        kind = context.retry(
            lambda: pick_instance_type(
                context.aws,
                plan.region,
                machine.cpus,
                machine.memory_mib,
                image.architecture or plan.architecture,
                image.boot_mode or None,
                ena=image.ena,
            )
        ).name
    context.say(f"launching the {context.launches}, {kind}")
    request = LaunchRequest(
        record.image_id,
        kind,
        client_token=f"{ledger.client_token}-test",
        subnet_id=wanted.subnet_id,
        key_name=wanted.key_name,
        isolated=wanted.isolated,
        tags=tags(context),
    )
    context.remember(launch_asked=True)
    launched = context.retry(lambda: launch(context.aws, plan.region, request))
    return _note_instance(context, launched.id)


def _own_instances(context: ImportContext) -> list[str]:
    """Instances of the job that are not terminated, found by its tag."""
    return context.retry(lambda: list(tagged_instances(context.aws, context.plan.region, TAG_JOB, context.job_id)))


def _note_instance(context: ImportContext, instance_id: str) -> dict[str, Any]:
    context.remember(instance=instance_id)
    context.add_result(context.launches, instance_id)
    return {"instance": instance_id}


def watch_test(context: ImportContext) -> dict[str, Any]:
    """Wait a while for the status checks. Their result goes to the log and never fails the job."""
    region, instance_id = context.plan.region, context.ledger.instance
    if not instance_id:
        return {}
    said: list[str] = []

    def show(seen: InstanceState) -> None:
        text = f"{instance_id}: {seen.state}, system check {seen.system_check or 'waits'}, instance check "
        text += seen.instance_check or "waits"
        if text not in said:
            said.append(text)
            context.say(text)

    state = context.retry(
        lambda: wait_for_checks(
            context.aws, region, instance_id, check=context.control.check, on_state=show, seconds=CHECK_SECONDS
        )
    )
    verdict = "passed" if state.healthy else f"not passed ({state.reason or state.instance_check or state.state})"
    context.add_result("status checks", verdict)
    context.say(
        f"{context.launches} {instance_id}: status checks {verdict}", level="info" if state.healthy else "warning"
    )
    try:
        console = context.retry(lambda: console_output(context.aws, region, instance_id))
    except ServiceError as error:
        context.say(f"no console output: {error}", message=False, level="warning")
    else:
        for line in console.splitlines()[-CONSOLE_LINES:]:
            context.say(f"console: {line}", message=False)
    context.say(f"{instance_id} runs on, and costs, until it is terminated", message=False)
    context.finish_stage(Stage.LAUNCH)
    return {"healthy": state.healthy}


def terminate_test(context: ImportContext) -> None:
    """Terminate the test instance, also one that a killed worker asked for: it is found by its tag."""
    if not context.ledger.launch_asked:
        return
    for instance_id in tagged_instances(context.aws, context.plan.region, TAG_JOB, context.job_id):
        terminate(context.aws, context.plan.region, instance_id)


def tag_results(context: ImportContext) -> dict[str, Any]:
    """Tag everything the job made."""
    context.start_stage(Stage.FINISH)
    context.say("tagging what was made")
    record = context.record
    snapshots = [disk.snapshot_id for disk in context.disks()]
    made = [ident for ident in dict.fromkeys([record.image_id, *snapshots, *context.ledger.to_tag]) if ident]
    try:
        context.retry(lambda: tag(context.aws, context.plan.region, made, tags(context)))
    except ServiceError as error:
        if error.kind in {ErrorKind.LOGIN, ErrorKind.CANCELLED}:
            raise
        problem = error.problem
        raise ServiceError(
            problem.kind,
            problem.what,
            subject=problem.subject,
            remedy=f"{', '.join(made)}: complete, only not tagged. {problem.remedy}; then resume the job, which sets "
            "the tags and nothing else",
            code=problem.code,
            detail=problem.detail,
        ) from error
    return {}


def copy_images(context: ImportContext) -> dict[str, Any]:
    """Copy the AMI to the Regions of the plan: start all copies, then wait for them."""
    copies: dict[str, str] = {}
    for region in context.plan.copy_to:
        image_id = context.retry(lambda region=region: _copy(context, region))  # type: ignore[misc]
        copies[region] = image_id
        context.remember(copies=copies)
        context.add_result(f"AMI in {region}", image_id)
    for region, image_id in copies.items():
        context.say(f"AWS copies the AMI to {region}: {image_id}")
        _wait_for_copy(context, region, image_id)
    return {"copies": copies}


def _wait_for_copy(context: ImportContext, region: str, image_id: str) -> None:
    """Wait until the copy is available. After a failure a resume starts another copy."""
    try:
        context.retry(lambda: wait_for_image(context.aws, region, image_id, check=context.control.check))
    except ServiceError as error:
        if error.kind not in {ErrorKind.REMOTE, ErrorKind.NOT_FOUND}:
            raise
        tries = context.ledger.copy_tries
        context.remember(copy_tries={**tries, region: tries.get(region, 1) + 1})
        raise ServiceError(
            error.kind,
            f"AWS could not copy the AMI to {region}",
            subject=image_id,
            remedy=f"The AMI in {context.plan.region} is made. Resume the job: it is copied again",
            code=error.problem.code,
            detail=error.problem.detail,
        ) from error


def _copy(context: ImportContext, region: str) -> str:
    plan, ledger = context.plan, context.ledger
    number = ledger.copy_tries.get(region, 1)
    once_more = f"-{number}" if number > 1 else ""  # what failed keeps its name and its token
    request = CopyRequest(
        context.record.image_id,
        plan.region,
        ami_name(f"{(plan.ami_name or plan.source.name)[:100]} {context.job_id}{once_more}"),
        description=plan.description or f"{plan.source.name} copied by vmie-tui",
        encrypted=plan.encrypted,
        client_token=f"{ledger.client_token}-copy-{region}{once_more}",
        tags=tags(context),
    )
    return copy_image(context.aws, region, request).id


def _uploaded_by_earlier_job(context: ImportContext) -> bool:
    """Whether the job that this one fell back from uploaded the source; otherwise it is the user's."""
    before = context.ledger.from_job
    if not before:
        return False
    plan = context.store.record(before).plan
    return isinstance(plan, ImportPlan) and plan.moves_bytes


def clean_up(context: ImportContext) -> dict[str, Any]:
    """Delete our own objects, parts and intermediate snapshots. Ends the job's stages."""
    plan = context.plan
    if plan.clean_up:
        context.say("removing what was only on the way")
        for disk in context.disks():
            if plan.moves_bytes and not plan.direct:
                target_of(context).remove(disk)
            elif plan.route is Route.IMAGE_DIRECT and disk.ledger.uploaded_snapshot:
                delete_snapshot(context.aws, plan.region, disk.ledger.uploaded_snapshot)
        if isinstance(plan.source, ObjectSource) and _uploaded_by_earlier_job(context):
            for key in plan.source.keys:
                remove_object(context, key, plan.source.bucket)
        context.say("what was uploaded is deleted", message=False)
    context.finish_stage(Stage.FINISH)
    return {}
