"""One SOAP call, as the methods see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmie_tui.simulators.vcenter.sessions import Session


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
