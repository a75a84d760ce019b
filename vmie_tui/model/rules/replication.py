"""What can be said about a replication before it is made or changed, and how a run finds out what to move of a disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from vmie_tui.model import facts, naming
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.formatting import duration, size
from vmie_tui.model.machine import Machine, OsFamily
from vmie_tui.model.plan import ImportPlan, LicenseType, Route, VmSource
from vmie_tui.model.replication import KeptDisk, Replication, Sync, stamp
from vmie_tui.model.rules.default_route import with_defaults
from vmie_tui.model.rules.disks import BY_IMAGE, check_disks, one_time_stores
from vmie_tui.model.rules.licensing import licence_when_omitted
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.rules.replication_machine import check_source, no
from vmie_tui.model.rules.replication_schedule import DAY, Age, latest_start

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
NEAR_END = 7 * DAY  # ours: from when on the end of a VM's days is a warning
# What `check_plan` says of the machine and is said here with more weight, or another remedy.
_RESTATED = frozenset({"shared-disk", "independent-disk", "one-time-store"})
_AUTO = "LR2"  # no licence was chosen: which is a choice here, see `_licence`
_RESTATED_SNAPSHOTS = frozenset({"snapshots", "consolidation"})


# -- licence


def auto_license(machine: Machine) -> LicenseType | None:
    """What "auto" comes to: BYOL for Linux and Windows clients, AWS's for Windows Server; None: AWS decides (F434)."""
    return licence_when_omitted(machine.os_family)


def auto_words(machine: Machine) -> str:
    """What "auto" comes to, and why."""
    chosen, family = auto_license(machine), machine.os_family
    if chosen is None:
        return "auto: nothing says what system it is, AWS decides by what is on the disk"
    if chosen is LicenseType.AWS:
        return "auto: a licence of AWS, which bills for it"
    return f"auto: BYOL, the only one there is for {'Linux' if family is OsFamily.LINUX else 'a Windows client'}"


def settled(plan: ImportPlan, machine: Machine) -> ImportPlan:
    """The plan as a run carries it out: with what its route asks and the machine answers, and "auto" resolved."""
    plan = with_defaults(plan, machine)
    if plan.route in BY_IMAGE and not plan.license_type and not plan.usage_operation:
        plan = replace(plan, license_type=auto_license(machine))
    return plan


# -- what a run moves of a disk


@dataclass(frozen=True, slots=True)
class DiskNow:
    """A disk as the run's own vSphere snapshot has it."""

    key: int
    uuid: str
    capacity: int
    change_id: str  # "" where changes are not tracked (trap 25)
    label: str = ""


def choose_sync(kept: KeptDisk | None, now: DiskNow, *, asked: Sync | None, tracked: bool) -> tuple[Sync, str]:
    """How to find out what to move of a disk, and why not the changed blocks alone ("" for them and a first copy).

    ``asked``: `Sync.FULL` or `Sync.CHECKSUM` where the user wants one. ``tracked``: whether changed block tracking
    works on the machine. A disk that is another, or of another size, is copied in full whatever was asked.
    """
    if kept is None:
        return Sync.FIRST, ""
    other = _other_disk(kept, now)
    if other:
        return Sync.FULL, other
    if asked in {Sync.FULL, Sync.CHECKSUM}:
        return asked, "the user asked for it"
    doubt = _doubt(kept, now, tracked=tracked)
    return (Sync.FULL, doubt) if doubt else (Sync.CHANGED, "")


def _other_disk(kept: KeptDisk, now: DiskNow) -> str:
    if kept.uuid and now.uuid and kept.uuid != now.uuid:
        return "another disk is in its place"
    if now.capacity != kept.capacity:
        verb = "grew" if now.capacity > kept.capacity else "shrank"
        return f"the disk {verb} by {size(abs(now.capacity - kept.capacity))} to {size(now.capacity)}"
    return ""


def _doubt(kept: KeptDisk, now: DiskNow, *, tracked: bool) -> str:
    """Why what the tracking says of the time since the last run cannot be trusted."""
    if not tracked:
        return "changed blocks are not tracked on this machine"
    if not kept.change_id:
        return "changes were not tracked yet when the last run froze the disk"
    if not now.change_id:
        return "vSphere gives no change id for the disk any more"
    return _doubtful_ids(kept.change_id, now.change_id)


def _doubtful_ids(kept: str, now: str) -> str:
    before, after = _change(kept), _change(now)
    if before is None or after is None:
        return f"the change id {now if after is None else kept!r} is not understood"
    if before[0] != after[0]:
        return "the tracking was started anew since the last run"
    return "the disk was set back to an earlier state since the last run" if after[1] < before[1] else ""


def _change(change_id: str) -> tuple[str, int] | None:
    """The epoch and the number of a change id such as ``52 de c0 .../17``."""
    epoch, slash, number = change_id.rpartition("/")
    return (epoch.strip().lower(), int(number)) if slash and number.isascii() and number.isdigit() else None


# -- a job


def check_replication(
    spec: Replication,
    machine: Machine,
    *,
    now: float,
    others: int = 0,
    age: Age | None = None,
    existing: str = "",
    begun: bool = False,
    at_work: bool = False,
) -> tuple[Finding, ...]:
    """Everything to be said about replicating ``machine``, worst first.

    ``others``: VMs the account migrates besides this one. ``age``: the VM's days so far. ``existing``: another
    replication of this VM. ``begun``: a run was started already, so the start lies behind. ``at_work``: a run is at
    work, and the machine's snapshot is ours.
    """
    plan = settled(spec.plan, machine)
    lease = spec.once and bool(one_time_stores(machine))  # gives the present content whatever snapshots there are
    restated = _RESTATED if lease else _RESTATED | _RESTATED_SNAPSHOTS
    found = [
        *(item for item in check_plan(_filled(plan, now), machine) if item.rule not in restated and item.fact != _AUTO),
        *_route(plan, machine),
        *_schedule(spec),
        *_start(spec, now if not begun else None),
        *_numbers(machine, now, others, age, existing),
        *_licence(spec.plan, plan, machine),
        *check_source(spec, machine, snapshots=not (at_work or lease)),
    ]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _filled(plan: ImportPlan, now: float) -> ImportPlan:
    """With the name and the description that a run which starts now gives its AMI: the plan has their templates."""
    when = datetime.fromtimestamp(now, UTC)
    places = naming.places(plan.source.name, when, profile=plan.profile, region=plan.region)
    name, description = naming.ami_name(plan.ami_name, places), naming.fill(plan.description, places)
    return replace(plan, ami_name=name, description=description)


def overridable(machine: Machine, route: Route) -> tuple[Finding, ...]:
    """What a user may push aside: what AWS may not take of the guest, and not how its disks are kept.

    Unlike an export lease, a run reads the files of the disks: of a mapping or an encrypted disk they are not its
    content, and the AMI would be wrong.
    """
    if machine.encrypted:
        return ()
    kept = {finding.headline for finding in check_disks(machine, route)}
    return tuple(finding for finding in check_machine(machine, route=route) if finding.headline not in kept)


def check_edit(old: Replication, new: Replication, *, replicated: bool) -> tuple[Finding, ...]:
    """What of a change is refused (F439); ``replicated``: a run was completed, so its disks are encrypted or not."""
    found = list(_schedule(new))
    fixed = {
        "whether it runs once or by an interval": (old.once, new.once),
        "the machine it is of": (old.plan.source, new.plan.source),
        "the profile": (old.plan.profile, new.plan.profile),
        "the Region": (old.plan.region, new.plan.region),
    }
    for what, (before, after) in fixed.items():
        if before != after:
            found.append(
                no(f"{what} cannot be changed", old.plan.source.name, "Delete this job, and create another", "F439")
            )
    if replicated and _encryption(old.plan) != _encryption(new.plan):
        found.append(
            no(
                "encryption cannot be changed after the first run",
                old.plan.source.name,
                "Delete this job, and create another; its first run copies all again",
                "trap 21",
                "Each snapshot is made on the one before, and is encrypted as that is",
            )
        )
    return tuple(found)


def _encryption(plan: ImportPlan) -> tuple[bool, str | None]:
    return plan.encrypted, plan.kms_key_id or None


def _route(plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    if not isinstance(plan.source, VmSource):
        yield no("only a virtual machine in vCenter can be replicated", machine.name, "Import it instead", "F386")
    if not plan.direct or plan.route is Route.SNAPSHOT:
        yield no(
            f"a replication cannot take the route {plan.route.value}",
            machine.name,
            "Take the route image-direct, or unmodified by EBS direct (--via ebs)",
            "F386",
            "Each run writes what changed onto the snapshot of the run before, and makes an AMI of it",
        )
    if plan.test_launch is not None:
        yield Finding(
            W,
            "every run launches an instance of its AMI",
            machine.name,
            "AWS bills for each until it is terminated",
            remedy="Leave the test launch out; a cutover launches one",
            fact="F233",
        )
    if plan.copy_to:
        yield Finding(
            W,
            "the AMI of every run is copied to other Regions",
            machine.name,
            "Old AMIs are removed in its own Region only",
            remedy="Leave the copies out, or remove old ones yourself",
            fact="F436",
        )


def _frequency() -> dict[str, Any]:
    found: dict[str, Any] = facts.load("replication")["sms"]["replication_job"]["frequency"]
    return found


def _schedule(spec: Replication) -> Iterator[Finding]:
    low, high = _frequency()["min_hours"], _frequency()["max_hours"]
    if not spec.once and not low <= spec.every_hours <= high:
        yield no(
            f"an interval of {spec.every_hours} h is not possible",
            "schedule",
            f"{low} to {high} hours, or a one-time migration",
            "F431",
        )
    if spec.keep < 0:
        yield no(f"{spec.keep} AMIs cannot be kept", "retention", "A number from 1; 0 keeps them all", "F436")
    elif spec.keep == 0 and not spec.once:
        yield Finding(
            I,
            "every AMI is kept",
            "retention",
            "AWS bills for the snapshots of each",
            remedy="Say how many of the newest to keep",
            fact="F436",
        )


def _start(spec: Replication, now: float | None) -> Iterator[Finding]:
    if now is not None and spec.start > latest_start(now):
        days = facts.limit("sms", "schedule_ahead_max_days")["value"]
        yield no(
            f"its start, {stamp(spec.start)}, is more than {days} days ahead",
            "schedule",
            f"Start it by {stamp(latest_start(now))}",
            "F433",
        )


def _numbers(machine: Machine, now: float, others: int, age: Age | None, existing: str) -> Iterator[Finding]:
    """What the service counted: VMs at once, days of each."""
    most = int(facts.limit("sms", "concurrent_vm_migrations_per_account")["value"])
    if existing:
        yield no(
            f"it is replicated already, by {existing}", machine.name, "Change that job, or delete it first", "F427"
        )
    if others >= most:
        yield no(
            f"{others} VMs are replicated already, {most} at once are the most",
            machine.name,
            "Delete a replication that is done",
            "F388",
        )
    if age is None or age.ends is None:
        return
    if age.over:
        yield no(
            f"its {age.days} days of replication are over",
            machine.name,
            "Cut it over; or ask for more days (replicate extend)",
            "F389",
            f"They ended at {stamp(age.ends)}",
        )
    elif age.ends - now <= NEAR_END:
        yield Finding(
            W,
            f"day {age.day} of {age.days}: its replication ends in {duration(age.ends - now)}",
            machine.name,
            remedy="Cut it over; or ask for more days (replicate extend)",
            fact="F389",
        )


def _licence(given: ImportPlan, plan: ImportPlan, machine: Machine) -> Iterator[Finding]:
    """What "auto" was resolved to; what a licence that was named stands for is `check_plan`'s to say."""
    if plan.route in BY_IMAGE and not given.license_type and not given.usage_operation:
        yield Finding(I, f"licence {auto_words(machine)}", machine.name, remedy="Name one to have another", fact="F434")
