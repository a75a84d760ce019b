"""Sessions: logins, their expiry, and the objects they own."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from pyVmomi import vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call, Session
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.values import data, moment

TICKET_SECONDS = 120.0
WRONG = "Cannot complete login due to an incorrect user name or password."


class TooManySessionsError(Exception):
    """Too many sessions: responds with HTTP 503, as vCenter does."""


class Sessions:
    """The SessionManager's methods, and expiry."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self._by_cookie: dict[str, Session] = {}
        self._tickets: dict[str, tuple[str, str, Managed | None, float]] = {}  # id -> method, target, host, until when
        self.asking: Session | None = None  # whose call is being answered; under the registry's lock
        self.began: list[Callable[[Session], None]] = []
        self.ended: list[Callable[[str], None]] = []  # called with the key of each session that ends
        self.manager = center.registry.add(Managed(vim.SessionManager, "SessionManager"))
        self.manager.props.update(
            defaultLocale="en",
            supportedLocaleList=["en"],
            messageLocaleList=["en"],
            message="",
            currentSession=lambda: self.current(self.asking),
            sessionList=lambda: [describe(session) for session in self._by_cookie.values()],
        )

    def find(self, cookie: str | None) -> Session | None:
        """The live session of a cookie, marked as used now."""
        now = self._center.clock.now()
        limit = self._center.options.idle_seconds
        for session in list(self._by_cookie.values()):
            if now - session.last > limit:
                self.end(session)
        session_now = self._by_cookie.get(cookie or "")
        if session_now is not None:
            session_now.last = now
            session_now.calls += 1
        return session_now

    def end(self, session: Session) -> None:
        """Forget a session and everything it owned."""
        self._by_cookie.pop(session.cookie, None)
        for tell in self.ended:
            tell(session.key)
        registry = self._center.registry
        for managed in [one for one in registry.objects.values() if one.owner == session.key]:
            registry.remove(managed)

    def expire_all(self) -> None:
        for session in list(self._by_cookie.values()):
            self.end(session)

    def count(self) -> int:
        return len(self._by_cookie)

    def current(self, session: Session | None) -> Any:
        return None if session is None else describe(session)

    # ---- SOAP methods

    def Login(self, call: Call, this: Managed, user: str, password: str, locale: str | None) -> Any:
        if call.session is not None:
            raise vim.fault.InvalidLogin(msg="The session is already logged in.")
        session = self.open(user, password, call.address, call.agent)
        call.session, call.cookie = session, session.cookie
        return describe(session)

    def open(self, user: str, password: str, address: str, agent: str) -> Session:
        """A new session; raises InvalidLogin, TooManySessionsError."""
        center = self._center
        right = secrets.compare_digest(user.encode(), center.user.encode())
        if not (right and secrets.compare_digest(password.encode(), center.password.encode())):
            raise vim.fault.InvalidLogin(msg=WRONG)
        if len(self._by_cookie) >= center.options.max_sessions:
            raise TooManySessionsError(f"The number of sessions ({len(self._by_cookie)}) has reached the limit")
        now = center.clock.now()
        key = f"52{uuid.uuid4().hex[2:16]}-{uuid.uuid4().hex[:16]}"
        session = Session(key, secrets.token_hex(20), user, now, now, address, agent)
        self._by_cookie[session.cookie] = session
        for tell in self.began:
            tell(session)
        return session

    def AcquireGenericServiceTicket(self, call: Call, this: Managed, spec: Any) -> Any:
        """A credential for one request to one host's own web server, named in the URL by its name in the inventory."""
        url = urlsplit(getattr(spec, "url", None) or "")
        host = next((one for one in self._hosts() if one.name == url.hostname), None)
        if host is None or not isinstance(spec, vim.SessionManager.HttpServiceRequestSpec):
            raise vmodl.fault.InvalidArgument(invalidProperty="spec", msg="A specified parameter was not correct: spec")
        center = self._center
        method = (spec.method or "httpGet").removeprefix("http").upper()
        ident = str(uuid.uuid4())
        self._tickets[ident] = (method, f"{url.path}?{url.query}", host, center.clock.now() + TICKET_SECONDS)
        return data(
            vim.SessionManager.GenericServiceTicket,
            id=ident,
            hostName=f"{center.options.nfc_host}:{center.nfc_port}",
            sslThumbprint=center.thumbprint,
        )

    def _hosts(self) -> Iterator[Managed]:
        return (one for one in self._center.registry.objects.values() if one.is_a(vim.HostSystem))

    def redeem(self, ident: str, method: str, target: str) -> Managed | None:
        """The host that a ticket is for, once; None for one that is spent, too old or for something else."""
        allowed, path, host, until = self._tickets.pop(ident, ("", "", None, 0.0))
        fits = allowed == method and path == target and self._center.clock.now() <= until
        return host if fits else None

    def Logout(self, call: Call, this: Managed) -> None:
        if call.session is not None:
            self.end(call.session)

    def SessionIsActive(self, call: Call, this: Managed, key: str, user: str) -> bool:
        return any(one.key == key and one.user == user for one in self._by_cookie.values())

    def TerminateSession(self, call: Call, this: Managed, keys: list[str]) -> None:
        for session in list(self._by_cookie.values()):
            if session.key in keys:
                self.end(session)


def describe(session: Session) -> Any:
    return data(
        vim.UserSession,
        key=session.key,
        userName=session.user,
        fullName=session.user,
        loginTime=moment(session.login),
        lastActiveTime=moment(session.last),
        locale="en",
        messageLocale="en",
        extensionSession=False,
        ipAddress=session.address,
        userAgent=session.agent,
        callCount=session.calls,
    )
