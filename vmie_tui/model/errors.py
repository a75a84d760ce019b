"""One shape for everything that can go wrong in front of a user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self


class ErrorKind(StrEnum):
    """What sort of trouble it is; decides the exit code and whether a job pauses or fails."""

    LOGIN = "login"  # credentials missing, wrong or expired: the job waits for a login
    PERMISSION = "permission"
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"  # the object is in a state that forbids the call
    INVALID = "invalid"  # the input itself is wrong
    REFUSED = "refused"  # a rule of VM import or a read-only policy says no
    THROTTLED = "throttled"
    NETWORK = "network"
    TLS = "tls"
    CORRUPT = "corrupt"  # bytes received are not what they should be
    LOCAL = "local"  # this machine: disk full, no permission, missing tool
    REMOTE = "remote"  # the service failed and said so
    CANCELLED = "cancelled"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in words: what failed, on which object, what to do next, whether a retry is safe."""

    kind: ErrorKind
    what: str
    subject: str = ""
    remedy: str = ""
    retry_safe: bool = False
    code: str = ""  # the service's own error code: ``NoSuchBucket``, ``InvalidLogin``
    detail: str = ""  # the service's own text
    facts: tuple[str, ...] = ()  # ids of the documented errors and known traps it is an instance of, likeliest first
    causes: tuple[str, ...] = ()  # ids of those causes of it that were looked for and found (`explain.Probe.id`)

    def __str__(self) -> str:
        head = f"{self.subject}: {self.what}" if self.subject else self.what
        if self.detail and self.detail not in head:
            head = f"{head} ({self.detail})"
        return f"{head}. {self.remedy}" if self.remedy else head

    def to_json(self) -> dict[str, Any]:
        """Every field; facts and causes only where there are any."""
        told = {
            "kind": self.kind.value,
            "what": self.what,
            "subject": self.subject,
            "remedy": self.remedy,
            "retry_safe": self.retry_safe,
            "code": self.code,
            "detail": self.detail,
        }
        return told | {name: list(ids) for name in ("facts", "causes") if (ids := getattr(self, name))}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Problem:
        ids = {name: tuple(data.get(name, ())) for name in ("facts", "causes")}
        return cls(**{**data, **ids, "kind": ErrorKind(data["kind"])})


class VmieError(Exception):
    """Base of every error this package raises on purpose; carries a `Problem`."""

    def __init__(
        self,
        kind: ErrorKind,
        what: str,
        *,
        subject: str = "",
        remedy: str = "",
        retry_safe: bool = False,
        code: str = "",
        detail: str = "",
        facts: tuple[str, ...] = (),
        causes: tuple[str, ...] = (),
    ) -> None:
        self.problem = Problem(kind, what, subject, remedy, retry_safe, code, detail, facts, causes)
        super().__init__(str(self.problem))

    @property
    def kind(self) -> ErrorKind:
        return self.problem.kind

    @classmethod
    def of(cls, problem: Problem) -> Self:
        error = cls(problem.kind, problem.what)
        error.problem = problem
        error.args = (str(problem),)
        return error

    def about(self, subject: str) -> Self:
        """The same error, naming its object when the raiser could not."""
        if not self.problem.subject:
            self.problem = replace(self.problem, subject=subject)
            self.args = (str(self.problem),)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.problem))


def _rebuild(cls: type[VmieError], problem: Problem) -> VmieError:
    return cls.of(problem)


class ServiceError(VmieError):
    """Raised by services: the outside world said no, or something that is not understood."""


class SettingsError(VmieError):
    """A configuration file, environment variable or flag that cannot be used."""


class Cancelled(VmieError):
    """The user asked for this work to stop."""

    def __init__(self, what: str = "cancelled by the user", **fields: Any) -> None:
        fields.pop("kind", None)
        super().__init__(ErrorKind.CANCELLED, what, **fields)

    @classmethod
    def of(cls, problem: Problem) -> Self:
        error = cls(problem.what)
        error.problem = problem
        return error


def problem_of(error: BaseException) -> Problem:
    """Any error as a `Problem`; an unforeseen one says so and asks to be reported."""
    if isinstance(error, VmieError):
        return error.problem
    return Problem(
        ErrorKind.BUG,
        f"unexpected {type(error).__name__}: {error}",
        remedy="This is a fault of vmie-tui: please report it",
    )
