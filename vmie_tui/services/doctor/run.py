"""Runs the checks in parallel, and applies the fixes the user agreed to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from vmie_tui.model.doctor import Change, Check, DoctorReport, Fix, Group
from vmie_tui.model.errors import Cancelled, ErrorKind, ServiceError, VmieError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.doctor import aws_sign_in, bucket, local, permissions, region, role, vcenter
from vmie_tui.services.doctor.check_context import Look, Patient, Skip, method_name
from vmie_tui.services.pacing import Poll, until_found

LOOKS: tuple[Look, ...] = (
    *local.LOOKS,
    *aws_sign_in.LOOKS,
    *region.LOOKS,
    *bucket.LOOKS,
    *role.LOOKS,
    *permissions.LOOKS,
    *vcenter.LOOKS,
)
AT_ONCE = 6  # few enough that no service takes it for an attack
TICK_SECONDS = 0.1
SETTLE_SECONDS = 60.0  # a role is seen by all of AWS about a minute after it was made (trap 31)
SETTLE_PAUSE = 1.0


def examine(
    patient: Patient,
    groups: Collection[Group] = tuple(Group),
    *,
    on_check: Callable[[Check], None] = lambda check: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> DoctorReport:
    """Look at everything in these groups. ``on_check`` gets each check on the calling thread as it is made.

    Raises Cancelled soon after ``cancelled()`` turned true; what is under way ends by itself.
    """
    looks = [look for look in LOOKS if look.group in groups]
    found: dict[str, list[Check]] = {}
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="doctor")
    try:
        running: dict[Future[list[Check]], Look] = {pool.submit(run_look, patient, look): look for look in looks}
        while running:
            if cancelled():
                raise Cancelled(subject="doctor")
            done, _ = wait(running, TICK_SECONDS, FIRST_COMPLETED)
            for future in done:
                found[running.pop(future).id] = future.result()
                for check in future.result():
                    on_check(check)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return DoctorReport(patient.profile.name, tuple(check for look in looks for check in found[look.id]))


def run_look(patient: Patient, look: Look) -> list[Check]:
    """The checks of one examination; errors of the outside become checks, never exceptions."""
    try:
        made: Check | Iterable[Check] = look.run(patient, look)
        return [made] if isinstance(made, Check) else list(made)
    except Skip as why:
        return [look.skipped(str(why))]
    except VmieError as error:
        return [look.trouble(error)]


def apply(patient: Patient, check: Check) -> Check:
    """Applies exactly the changes shown as the check's fix, and returns the check's new state.

    Raises ServiceError REFUSED for a read-only profile or a check without a fix, and CONFLICT, before anything is
    changed, when what is there is no longer as it was shown.
    """
    fix = check.fix
    if fix is None:
        raise ServiceError(ErrorKind.REFUSED, "there is nothing that could be made here", subject=check.title)
    patient.aws().policy.check_work("changed", check.title)
    if look_again(patient, check).fix != fix:
        raise ServiceError(
            ErrorKind.CONFLICT,
            "it was changed by somebody else in the meantime",
            subject=check.title,
            remedy="Look at it again, then decide",
        )
    for number, change in enumerate(fix.changes):
        # what a later change is about was made a moment ago, and may not be found everywhere yet
        poll = Poll(SETTLE_PAUSE, seconds=SETTLE_SECONDS if number else 0.0)
        until_found(partial(send, patient, change), poll)
    return _settled(patient, check, fix)


def send(patient: Patient, change: Change) -> None:
    """Sends one change. Raises ServiceError."""
    service, _, operation = change.operation.partition(":")
    with aws_call(f"make the change {change.operation}", change.target):
        getattr(patient.aws().client(service, patient.region), method_name(operation))(**change.request)


def _settled(patient: Patient, check: Check, fix: Fix) -> Check:
    """Checks again until the change is visible: AWS may need a minute to propagate it."""
    reason = ""
    for _ in Poll(SETTLE_PAUSE, seconds=SETTLE_SECONDS):
        now = look_again(patient, check)
        if now.fix is None or now.fix.id != fix.id:
            return now  # right, or the next thing that is wrong with it
        reason = now.reason
    raise ServiceError(
        ErrorKind.CONFLICT,
        f"AWS does not show the change yet: {reason}",
        subject=check.title,
        remedy="Look again in a minute",
        retry_safe=True,
    )


def look_again(patient: Patient, check: Check) -> Check:
    """The same check, made now; other fixes may have changed what its own would do. Raises ServiceError CONFLICT."""
    patient.forget()
    for look in LOOKS:
        if check.id == look.id or check.id.startswith(f"{look.id}."):
            for made in run_look(patient, look):
                if made.id == check.id:
                    return made
    raise ServiceError(ErrorKind.CONFLICT, "it is no longer there", subject=check.title)
