"""What stands in the way of an import, by the rules, its disks and the account; and what of it may be overridden."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from vmie_tui.model.errors import ErrorKind, Problem, ServiceError, problem_of
from vmie_tui.model.finding import Finding, Severity, worst
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import ImportPlan, Route
from vmie_tui.model.preflight import Preflight
from vmie_tui.model.rules.account import Account, account_key, check_account, forceable
from vmie_tui.model.rules.disks import BY_IMAGE
from vmie_tui.model.rules.machine import check_machine
from vmie_tui.model.rules.override import CONTENT, Blocked, blocked
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.rules.routes import route_options


@dataclass(frozen=True)
class Judged:
    """A plan, and all there is to say of it."""

    plan: ImportPlan
    machine: Machine
    found: tuple[Finding, ...]  # worst first
    about_machine: tuple[Finding, ...] = ()  # what may be overridden, where it is a blocker
    forced: bool = False  # the user has named the machine, to start it all the same

    @cached_property
    def blocked(self) -> Blocked:
        return blocked(self.machine, self.found, self.about_machine)

    @property
    def overridden(self) -> tuple[Finding, ...]:
        return self.blocked.soft if self.forced else ()

    @property
    def standing(self) -> tuple[Finding, ...]:
        """The blockers that were not, or cannot be, overridden."""
        return self.blocked.firm if self.forced else (*self.blocked.firm, *self.blocked.soft)

    @property
    def to_start(self) -> ImportPlan:
        """The plan; when forced, with what it overrides."""
        if not self.forced:
            return self.plan
        return replace(self.plan, override=(*(finding.headline for finding in self.overridden), CONTENT))

    def with_account(self, found: Sequence[Finding]) -> Judged:
        """Also by what is known of the AWS account."""
        return replace(
            self,
            found=worst_first((*self.found, *found)),
            about_machine=(*self.about_machine, *forceable(found)),
        )

    def refusal(self) -> ServiceError | None:
        """Why it cannot start, and the way there is; None when it can."""
        if not self.standing:
            return None
        first = self.standing[0]
        return ServiceError(
            ErrorKind.REFUSED, finding_line(self.machine, first), code=first.fact, remedy=another_way(self)
        )


def worst_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def weigh(
    plan: ImportPlan,
    machine: Machine,
    forced: Collection[str] = (),
    preflight: Preflight | None = None,
    account: Sequence[Finding] = (),
) -> Judged:
    """By the rules, by what the disks have shown (``preflight``), and by what is known of the ``account``.

    The blockers of a machine whose name is in ``forced`` are overridden where that is possible.
    """
    found, about = check_plan(plan, machine), check_machine(machine, route=plan.route)
    if preflight is not None:
        found, about = preflight.join(found, plan.route), preflight.join(about, plan.route)
    return Judged(plan, machine, found, about, machine.name in forced).with_account(account)


def other_routes(judged: Judged) -> tuple[Route, ...]:
    """The routes there are, when the chosen one is none; unmodified, when AWS would not convert the guest."""
    plan, machine = judged.plan, judged.machine
    options = {option.route: option for option in route_options(plan.source, machine, plan.region)}
    if options[plan.route].refused:
        return tuple(route for route, option in options.items() if not option.refused)
    unmodified = check_machine(machine, route=Route.UNMODIFIED)
    taken = not options[Route.UNMODIFIED].refused and worst(unmodified) is not Severity.BLOCKER
    converts = plan.route in BY_IMAGE and worst(check_machine(machine)) is Severity.BLOCKER
    return (Route.UNMODIFIED,) if taken and converts else ()


def another_way(judged: Judged) -> str:
    """`other_routes` in words of the command line."""
    routes = other_routes(judged)
    if routes == (Route.UNMODIFIED,):
        return "Or import it as it is, without AWS's drivers: --route unmodified"
    return f"Possible routes: {', '.join(route.value for route in routes)}" if routes else ""


def finding_line(machine: Machine, finding: Finding) -> str:
    words = ". ".join(part for part in (finding.what, finding.remedy) if part)
    return f"{machine.name}: {f'{finding.subject}: ' if finding.subject not in {'', machine.name} else ''}{words}"


# -- the account


@dataclass(frozen=True, slots=True)
class AccountLook:
    """What is known of the accounts that some plans go to."""

    found: tuple[tuple[Finding, ...], ...]  # one for each plan; empty where the account could not be looked at
    problem: Problem | None = None  # why not


def check_accounts(plans: Sequence[ImportPlan], look: Callable[[ImportPlan], Account]) -> AccountLook:
    """Ask AWS about the plans' accounts by ``look``, once for all plans with the same target; blocks."""
    accounts: dict[tuple[object, ...], Account] = {}
    problem = None
    try:
        for plan in plans:
            key = account_key(plan)
            if key not in accounts:
                accounts[key] = look(plan)
    except Exception as error:  # noqa: BLE001 - an import need not fail because of a look at its account
        problem = problem_of(error)
    known = [accounts.get(account_key(plan)) for plan in plans]
    return AccountLook(
        tuple(check_account(plan, account) if account else () for plan, account in zip(plans, known, strict=True)),
        problem,
    )
