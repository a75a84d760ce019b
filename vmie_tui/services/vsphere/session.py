"""A logged-in vCenter session: verified connection, negotiated API version, errors as ServiceError."""

from __future__ import annotations

import contextlib
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from http.client import HTTPException
from typing import Any, TypeVar

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import VCenterInfo
from vmie_tui.proxy import Proxy
from vmie_tui.services.read_only import Policy
from vmie_tui.services.vsphere.cookies import Cookies
from vmie_tui.services.vsphere.errors import calling
from vmie_tui.services.vsphere.refused_logins import REFUSED
from vmie_tui.services.vsphere.sdk import pyVmomi, vim
from vmie_tui.services.vsphere.tls import NotVCenterError, Trust, VerifiedConnection, make_context
from vmie_tui.settings import VCenterSettings

READ_SECONDS = 120.0  # the longest silence of one SOAP call; a page of 500 machines takes vCenter a few seconds
CONNECT_SECONDS = 20.0
IDLE_CONNECTION_SECONDS = 20
VERSIONS_LIMIT = 1 << 20

T = TypeVar("T")


@cache
def _policed_stub() -> Any:
    """The class of stubs that ask the policy before a request is made: every call passes there."""

    class PolicedStub(pyVmomi.SoapStubAdapter):  # type: ignore[misc]  # pyVmomi has no types
        def __init__(self, policy: Policy, cookies: Cookies, **options: Any) -> None:
            self.cookies = cookies
            super().__init__(**options)
            self._policy = policy

        @property
        def cookie(self) -> str:
            """The Cookie header of each request: all that was set so far, by name."""
            return str(self.cookies)

        @cookie.setter
        def cookie(self, header: str) -> None:
            """pyVmomi would keep the last answer's Set-Cookie headers as one; the connections keep them by name."""

        def SerializeRequest(self, mo: Any, info: Any, args: Any) -> Any:  # noqa: N802 - pyVmomi's name
            self._policy.check_vsphere(info.wsdlName)
            return super().SerializeRequest(mo, info, args)

    return PolicedStub


class VSphere(Closing):
    """A session. Each thread may call; the connections are pooled and a re-login happens once for all.

    The password stays in memory, so an expired session is renewed without a question, once per call.
    """

    def __init__(self, settings: VCenterSettings, password: str, *, read_only: bool = False) -> None:
        self.settings, self.policy = settings, Policy(read_only)
        self.trust = Trust(settings.ca_file, settings.thumbprint)
        self.proxy = None if settings.proxy is None else Proxy.parse(settings.proxy)
        self._cookies = Cookies()
        self._password = password
        self._login_lock = threading.Lock()
        self._generation = 0
        self.places: Any = None  # names of folders, hosts and so on, read once per session (inventory.py)
        with calling(settings.host, settings.port):
            self.stub = self._make_stub(self._agree_version(), self._cookies)
            self.content: Any = vim.ServiceInstance("ServiceInstance", self.stub).RetrieveContent()
        try:
            user = self._login()
        except ServiceError:
            self.stub.DropConnections()
            raise
        about = self.content.about
        self.info = VCenterInfo(
            host=settings.host,
            full_name=about.fullName or "",
            version=about.version or "",
            instance_uuid=about.instanceUuid or "",
            user=user,
        )

    # -- connecting ---------------------------------------------------------------------------------------------

    def connection(self, *, timeout: float = READ_SECONDS) -> VerifiedConnection:
        """A new verified connection to vCenter itself, not yet open."""
        return VerifiedConnection(
            self.settings.host,
            self.settings.port,
            trust=self.trust,
            timeout=timeout,
            connect_timeout=CONNECT_SECONDS,
            proxy=self.proxy,
            cookies=self._cookies,
        )

    def _agree_version(self) -> str:
        """The newest API version that both sides know."""
        connection = self.connection()
        try:
            connection.request("GET", "/sdk/vimServiceVersions.xml")
            response = connection.getresponse()
            body = response.read(VERSIONS_LIMIT)
            if response.status != 200:
                raise HTTPException(f"{response.status} {response.reason}")
            if body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
                raise NotVCenterError("it answered with a web page")
        finally:
            connection.close()
        offered = {
            element.text
            for namespace in ET.fromstring(body).iter("namespace")  # noqa: S314 - expat limits amplification
            if namespace.findtext("name") == "urn:vim25"
            for element in namespace.iter("version")
        }
        for version in pyVmomi.VmomiSupport.GetServiceVersions("vim25"):
            if pyVmomi.VmomiSupport.versionIdMap[version] in offered:
                return str(version)
        raise ServiceError(
            ErrorKind.REMOTE,
            "the server speaks no version of the vSphere API that this program knows",
            subject=f"{self.settings.host}:{self.settings.port}",
            remedy="Check that host and port are those of a vCenter",
        )

    def _make_stub(self, version: str, cookies: Cookies, *, timeout: float = READ_SECONDS) -> Any:
        stub = _policed_stub()(
            self.policy,
            cookies,
            host=self.settings.host,
            port=self.settings.port,
            version=version,
            connectionPoolTimeout=IDLE_CONNECTION_SECONDS,
        )
        context = make_context(
            self.trust
        )  # pyVmomi would trust anything on localhost (trap 3): the connections are ours
        stub.scheme = VerifiedConnection
        stub.schemeArgs = {
            "trust": self.trust,
            "timeout": timeout,
            "connect_timeout": CONNECT_SECONDS,
            "context": context,
            "proxy": self.proxy,
            "cookies": cookies,
        }
        return stub

    def second_stub(self) -> Any:
        """A second stub on this session with its own connections: for a thread that must never wait for others."""
        return self._make_stub(self.stub.version, self._cookies.copy(), timeout=30.0)

    @property
    def cookie(self) -> str:
        """The Cookie header for data connections to vCenter itself."""
        return str(self._cookies)

    @property
    def standalone(self) -> bool:
        """Whether this is a standalone ESXi host rather than a vCenter."""
        return str(self.content.about.apiType or "") == "HostAgent"

    # -- session --------------------------------------------------------------------------------------------------

    def _login(self) -> str:
        subject = f"{self.settings.user} at {self.settings.host}"
        refused, place = REFUSED.attempt(self.settings, self._password), (self.settings.host, self.settings.port)
        with refused, calling(*place, subject=subject):
            session = self.content.sessionManager.Login(self.settings.user, self._password, None)
        self._generation += 1
        return str(session.userName)

    def _login_again(self, generation: int) -> None:
        with self._login_lock:
            if self._generation == generation:  # no other thread was faster
                self._cookies.forget_session()
                self._login()

    def call(self, function: Callable[[], T], *, subject: str = "", doing: str = "") -> T:
        """``function()`` with errors as ServiceError; after a lost session log in once more and repeat it.

        A call that vCenter refused as not authenticated was not carried out, so that repeating is safe.
        """
        generation = self._generation
        try:
            return self.once(function, subject=subject, doing=doing)
        except ServiceError as error:
            if not expired(error):
                raise
        self._login_again(generation)
        return self.once(function, subject=subject, doing=doing)

    def once(self, function: Callable[[], T], *, subject: str = "", doing: str = "") -> T:
        """As `call` without logging in again: for what dies with the session (views, pages, leases)."""
        with calling(self.settings.host, self.settings.port, subject=subject, doing=doing):
            return function()

    def alive(self) -> bool:
        """Whether vCenter still knows the session. Raises ServiceError if it cannot be reached."""
        manager = self.content.sessionManager
        return self.once(lambda: manager.currentSession) is not None

    def object(self, kind: Any, moid: str, stub: Any = None) -> Any:
        """The managed object of this moid, e.g. ``object(vim.VirtualMachine, "vm-12")``."""
        return kind(moid, stub or self.stub)

    def close(self) -> None:
        """Logs out and closes the connections; never raises: vCenter expires the session by itself."""
        with contextlib.suppress(Exception):
            self.content.sessionManager.Logout()
        self.stub.DropConnections()


def expired(error: ServiceError) -> bool:
    """Whether the session ended (rather than a password being refused)."""
    return error.problem.code == "NotAuthenticated"


def connect(settings: VCenterSettings, password: str, *, read_only: bool = False) -> VSphere:
    """Connects and logs in. Raises ServiceError LOGIN (password), TLS (certificate), NETWORK (not reachable).

    ``read_only``: the session refuses, before anything is sent, each method that is not known to only read.
    """
    return VSphere(settings, password, read_only=read_only)
