"""What a rule has to say about a machine or a plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError


class Severity(IntEnum):
    INFO = 1
    WARNING = 2
    BLOCKER = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has to say about a machine, a plan or an account."""

    severity: Severity
    what: str
    subject: str = ""
    why: str = ""
    prevents: str = ""  # the AWS error that would come later
    remedy: str = ""
    fact: str = ""  # id of its source: F031, IC4, LR3
    rule: str = ""  # name of the rule, where other parts ask for it (``no-fstab``)

    @property
    def headline(self) -> str:
        """What, and on what; the words an override is recorded with."""
        return f"{self.subject}: {self.what}" if self.subject else self.what

    def said_of(self, name: str) -> str:
        """The headline, beside the ``name`` of what all of this is about: that is not said twice."""
        return self.what if self.subject == name else self.headline

    def refusal(self, detail: str) -> ServiceError:
        """The error that a blocker becomes where nothing is done in spite of it."""
        return ServiceError(
            ErrorKind.REFUSED, self.what, subject=self.subject, remedy=self.remedy, code=self.fact, detail=detail
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "severity": self.severity.name.lower()}


def worst(findings: tuple[Finding, ...]) -> Severity | None:
    return max((finding.severity for finding in findings), default=None)
