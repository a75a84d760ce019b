"""One SOAP call, as the methods see it, and the login it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Session:
    """One login. ``key`` names it, ``cookie`` is its secret."""

    key: str
    cookie: str
    user: str
    login: float
    last: float
    address: str
    agent: str
    calls: int = 0
    pages: dict[str, Any] = field(default_factory=dict)  # paging tokens


@dataclass(slots=True)
class Call:
    """Who calls. ``session`` is None before login; ``cookie`` is set when the answer must hand one out."""

    method: str
    session: Session | None = None
    cookie: str | None = None
    address: str = "127.0.0.1"
    agent: str = ""

    @property
    def owner(self) -> str:
        """The session's key, by which its own objects are told from others'."""
        return "" if self.session is None else self.session.key
