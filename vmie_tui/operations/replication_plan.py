"""What is wanted of replications: what a profile presets, what was chosen, and the `Replication` of each machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vmie_tui.model import facts, naming
from vmie_tui.model.errors import Problem, ServiceError
from vmie_tui.model.finding import Finding
from vmie_tui.model.form_option import Option
from vmie_tui.model.formatting import plural
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import BootMode, ImportPlan, LicenseType, Route, Via, VmSource
from vmie_tui.model.replication import Replication, ReplicationView, RunState, Verify, stamp, until
from vmie_tui.model.rules.default_route import default_architecture
from vmie_tui.model.rules.disks import one_time_stores
from vmie_tui.model.rules.override import not_overridden
from vmie_tui.model.rules.replication import auto_license, check_edit, settled
from vmie_tui.model.rules.replication_schedule import parse_start
from vmie_tui.model.rules.routes import needs_role, route_options
from vmie_tui.operations.import_plan import REGION, VM, tag_table
from vmie_tui.operations.licences import licence_options
from vmie_tui.operations.profile import ProfileInfo

Rules = Callable[[Replication, Machine, str], tuple[Finding, ...]]
REPEAT, ONCE, AUTO = "repeat", "once", ""
NOW = "now"
KINDS = (Option(REPEAT, "Every few hours"), Option(ONCE, "One-time"))
FIXED = {  # what an edit cannot change, and why
    "kind": "fixed: delete it and create another",
    "region": "fixed: its snapshots are there",
}
ENCRYPTED = "fixed by the first run: each snapshot builds on it"


@dataclass(slots=True)
class ReplicationDraft:
    """What was answered so far; texts are as typed. AMI name and description are templates that each run fills in."""

    machines: tuple[Machine, ...]
    profile: str
    vcenter: str
    now: float  # seconds since the epoch by the profile's clock
    edit: ReplicationView | None = None  # the replication that is changed
    kind: str = REPEAT
    every: str = "12"
    start: str = NOW  # of an edit: that of its next run; empty: as it is
    keep: str = "0"
    verify: str = Verify.SAMPLE.value
    licence: str = AUTO
    route: str = Route.IMAGE_DIRECT.value
    region: str = ""
    role_name: str = ""
    ami_name: str = VM
    description: str = ""
    tags: str = ""
    ena: bool = True
    root_device: str = "/dev/sda1"
    encrypted: bool = False
    kms_key: str = ""
    quiesce: bool = True
    group: str = ""
    order: str = "0"
    # What a command line may say besides.
    added_tags: Mapping[str, str] = field(default_factory=dict)
    boot_mode: BootMode | None = None  # None: found out
    architecture: str = ""  # "": found out

    # -- what matters

    @property
    def asked(self) -> frozenset[str]:
        """The questions that matter for the answers so far."""
        asked = {"kind", "start", "verify", "route", "region", "ami_name", "description", "tags"}
        asked |= {"encrypted", "quiesce", "group", "order"}
        asked |= {"every", "keep"} if self.kind == REPEAT else set()
        asked |= {"kms_key"} if self.encrypted else set()
        if needs_role(ImportPlan("", VmSource("", "", ""), "", "", self.way, via=Via.EBS)):
            asked.add("role_name")
        return frozenset(asked | ({"ena", "root_device"} if self.way is Route.UNMODIFIED else {"licence"}))

    @property
    def fixed(self) -> dict[str, str]:
        """Questions whose answer stays, and why."""
        if self.edit is None:
            return {}
        replicated = any(run.state is RunState.COMPLETED for run in self.edit.runs)
        return {**FIXED, **({"encrypted": ENCRYPTED, "kms_key": ENCRYPTED} if replicated else {})}

    @property
    def way(self) -> Route:
        return Route(self.route)

    @property
    def names(self) -> str:
        known = [machine.name for machine in self.machines]
        return ", ".join(known) or (self.edit.name if self.edit else "")

    def edit_findings(self) -> tuple[Finding, ...]:
        """What of the change is refused; nothing for a new one."""
        if self.edit is None:
            return ()
        return check_edit(self.edit.spec, self.spec_for(None), replicated="encrypted" in self.fixed)

    # -- options that depend on the machines

    def kind_options(self) -> tuple[Option, ...]:
        """An interval is impossible where no machine has files to read in parts."""
        stores = [one_time_stores(machine) for machine in self.machines]
        none = bool(stores) and all(stores)
        kinds = " and ".join(dict.fromkeys(kind for some in stores for kind in some)) if none else ""
        refused = f"{kinds} shows no files to read changed blocks from" if none else ""
        return (
            Option(REPEAT, KINDS[0].label, "copies what changed, makes an AMI", refused),
            Option(ONCE, KINDS[1].label, "one copy, one AMI"),
        )

    def route_options(self) -> tuple[Option, ...]:
        words = {
            Route.IMAGE_DIRECT: ("AWS converts", "ImportImage adds drivers and licence"),
            Route.UNMODIFIED: ("Unmodified", "RegisterImage: the disks as they are"),
        }
        return tuple(Option(route.value, label, note, self._against(route)) for route, (label, note) in words.items())

    def _against(self, route: Route) -> str:
        """Why one of the machines cannot take the route; "" when all can."""
        for machine in self.machines:
            option = next(
                one for one in route_options(self._source(machine), machine, self.region) if one.route is route
            )
            if option.refused:
                return f"{machine.name}: {option.refused}" if len(self.machines) > 1 else option.refused
        return ""

    def licence_options(self) -> tuple[Option, ...]:
        """Auto with what it comes to, and the two licence types with what they mean or why they cannot be."""
        known = {LicenseType.BYOL.value, LicenseType.AWS.value}
        return (
            Option(AUTO, "Auto", self._auto()),
            *(option for option in licence_options(self.machines) if option.value in known),
        )

    def _auto(self) -> str:
        by: dict[str, list[str]] = {}
        for machine in self.machines:
            found = auto_license(machine)
            by.setdefault(found.value if found else "what AWS decides", []).append(machine.name)
        if len(by) == 1:
            return f"comes to {next(iter(by))}"
        return "; ".join(f"{what} for {', '.join(names)}" for what, names in by.items())

    # -- mistakes

    def mistakes(self) -> dict[str, str]:
        """What is wrong with the answers that matter, by field; the rules see the rest."""
        asked = self.asked - self.fixed.keys()
        return {key: text for key, text in self._mistakes() if key in asked}

    @property
    def unreadable(self) -> dict[str, str]:
        """The numbers that are none: no rule ever sees what was typed."""
        mistakes = dict(self._mistakes())
        return {key: mistakes[key] for key in ("every", "keep", "order") if not getattr(self, key).isdecimal()}

    def judge(self, machine: Machine | None, rules: Rules) -> tuple[Finding, ...]:
        """What there is to be said of the answers for a machine, worst first; of an edit what of it is refused, too.

        ``machine`` None: that of an edit is not known. ``rules``: `Replications.findings`.
        """
        found = self.edit_findings()
        if machine is not None:
            found = (*found, *rules(self.spec_for(machine), machine, self.edit.id if self.edit is not None else ""))
        return tuple(sorted(dict.fromkeys(found), key=lambda finding: -finding.severity))

    def standing(self, found: Sequence[Finding]) -> tuple[Finding, ...]:
        """The blockers among them that were not overridden when the replication was created."""
        return not_overridden(found, self.edit.spec.plan.override if self.edit is not None else ())

    def _mistakes(self) -> Iterator[tuple[str, str]]:
        low, high = _hours()
        if not (self.every.isdecimal() and low <= int(self.every) <= high):
            yield "every", f"A whole number, {low} to {high}"
        if not self.keep.isdecimal():
            yield "keep", "A whole number; 0 keeps all"
        if not self.order.isdecimal():
            yield "order", "A whole number; lower ones first"
        if (problem := self.start_problem()) is not None:
            yield "start", problem.what
        if not REGION.fullmatch(self.region):
            yield "region", "A Region reads like eu-west-1"
        if not self.role_name:
            yield "role_name", "Name the service role"
        for key in ("ami_name", "description"):
            if unknown := naming.unknown_place(getattr(self, key)):
                yield key, f"{unknown} stands for nothing"
        try:
            self._typed_tags()
        except ValueError as error:
            yield "tags", f"key=value, …; not {str(error)!r}"

    def _typed_tags(self) -> dict[str, str]:
        """ValueError for what are none; those that an edit found are taken as they are, commas and all."""
        if self.edit is not None and self.tags == tags_text(self.edit.spec.plan.tags):
            return {**self.edit.spec.plan.tags, **self.added_tags}
        return {**tag_table(self.tags), **self.added_tags}

    # -- when

    def start_problem(self) -> Problem | None:
        """What is wrong with the time that was typed, and what can be typed."""
        if not self.start and self.edit is not None:
            return None
        try:
            parse_start(self.start, self.now)
        except ServiceError as error:
            return error.problem
        return None

    def start_at(self) -> float | None:
        """When it starts, or its next run does; None: as it is, or not to be read."""
        return parse_start(self.start, self.now) if self.start and self.start_problem() is None else None

    def start_words(self) -> str:
        """What was typed as a moment in the user's zone; "" for what is none."""
        at = self.start_at()
        if at is None:
            at = self.edit.next_run if self.edit is not None and not self.start else None
        return f"{stamp(at)}, {until(at, self.now)}" if at is not None else ""

    # -- what is asked for

    def _source(self, machine: Machine) -> VmSource:
        return VmSource(self.vcenter, machine.moid, machine.name, machine.instance_uuid)

    def spec_for(self, machine: Machine | None) -> Replication:
        """What a machine is to be replicated by; None: the one whose replication is edited.

        An answer that cannot be read is taken as it is preset: `mistakes` keeps it from being used. Of an edit the
        plan is settled by the machine, where it is known.
        """
        start = self.start_at()
        if self.edit is not None:
            plan, start = self._plan(self.edit.spec.plan), self.edit.spec.start
            plan = settled(plan, self.machines[0]) if self.machines else plan
        else:
            assert machine is not None
            plan = ImportPlan(self.profile, self._source(machine), self.region, "", via=Via.EBS)
            plan = replace(
                self._plan(plan),
                boot_mode=self.boot_mode,
                architecture=self.architecture or default_architecture(machine),
            )
        return Replication(
            plan,
            self.now if start is None else start,
            0 if self.kind == ONCE else _number(self.every, _hours()[1]),
            _number(self.keep, 0) if "keep" in self.asked else self.edit.spec.keep if self.edit else 0,
            Verify(self.verify),
            self.group,
            _number(self.order, 0),
        )

    def _plan(self, plan: ImportPlan) -> ImportPlan:
        converts = self.way is Route.IMAGE_DIRECT
        return replace(
            plan,
            region=self.region,
            route=self.way,
            via=Via.EBS,
            license_type=LicenseType(self.licence) if self.licence and converts else None,
            usage_operation=None if self.licence else plan.usage_operation,
            role_name=self.role_name,
            ami_name=self.ami_name,
            description=self.description,
            tags=self.tag_table(),
            boot_mode=plan.boot_mode if plan.route is self.way else None,
            encrypted=self.encrypted,
            kms_key_id=self.kms_key or None if self.encrypted else None,
            quiesce=self.quiesce,
            ena=self.ena,
            root_device=self.root_device or "/dev/sda1",
        )

    def tag_table(self) -> dict[str, str]:
        """None as long as they cannot be read."""
        try:
            return self._typed_tags()
        except ValueError:
            return {}


def new_draft(profile: ProfileInfo, machines: Sequence[Machine], now: float) -> ReplicationDraft:
    """With what the profile presets; one-time where nothing else is possible."""
    draft = ReplicationDraft(
        tuple(machines),
        profile.name,
        profile.vcenter,
        now,
        region=profile.region,
        role_name=profile.role_name,
        ami_name=profile.ami_name or VM,
        description=profile.description or f"{VM} from {profile.vcenter}",
        tags=profile.tags,
    )
    if draft.kind_options()[0].refused:
        draft.kind = ONCE
    return draft


def edit_draft(vcenter: str, machines: Sequence[Machine], view: ReplicationView) -> ReplicationDraft:
    """With the answers a replication has now. ``machines``: the one it is of, or none where it is not known."""
    spec, plan = view.spec, view.spec.plan
    return ReplicationDraft(
        tuple(machines),
        plan.profile,
        vcenter,
        view.now,
        view,
        ONCE if spec.once else REPEAT,
        str(spec.every_hours or _hours()[1]),
        "",
        str(spec.keep),
        spec.verify.value,
        plan.license_type.value if plan.license_type else AUTO,
        plan.route.value,
        plan.region,
        plan.role_name,
        plan.ami_name,
        plan.description,
        tags_text(plan.tags),
        plan.ena,
        plan.root_device,
        plan.encrypted,
        plan.kms_key_id or "",
        plan.quiesce,
        spec.group,
        str(spec.order),
    )


def tags_text(tags: Mapping[str, str]) -> str:
    """Tags as they are typed."""
    return ", ".join(f"{key}={value}" for key, value in tags.items())


def _hours() -> tuple[int, int]:
    """The shortest and the longest interval (F431)."""
    limits = facts.load("replication")["sms"]["replication_job"]["frequency"]
    return int(limits["min_hours"]), int(limits["max_hours"])


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() else otherwise


def schedule_words(draft: ReplicationDraft) -> str:
    """The schedule in a few words, for its folded group."""
    start = f"from {draft.start or 'its next run'}"
    if draft.kind == ONCE:
        return f"once, {start}"
    keep = "all AMIs kept" if draft.keep == "0" else f"{plural(_number(draft.keep, 0), 'AMI')} kept"
    return f"every {draft.every} h, {start}, {keep}"
