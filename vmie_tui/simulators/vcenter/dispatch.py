"""From a SOAP envelope to a method and back: sessions, privileges, faults asked for, and MethodFaults."""

from __future__ import annotations

import logging
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.collector import Collector
from vmie_tui.simulators.vcenter.registry import Managed, gone
from vmie_tui.simulators.vcenter.sessions import Sessions, TooManySessionsError
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.tasks import make_fault
from vmie_tui.simulators.vcenter.values import NAMESPACE
from vmie_tui.simulators.vcenter.wire import Raw, dump, dump_fault, escape, local, parse, parse_items

log = logging.getLogger(__name__)

ANONYMOUS = frozenset({"RetrieveServiceContent", "Login", "CurrentTime", "Fetch"})


class DroppedError(Exception):
    """The connection is to be reset instead of answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    cookie: str | None = None


class Dispatcher:
    """Finds and calls methods. ``parts`` are objects whose capitalised methods carry SOAP names."""

    def __init__(self, center: Center, sessions: Sessions, collector: Collector, *parts: object) -> None:
        self._center, self._sessions, self._collector = center, sessions, collector
        self._methods: dict[str, Callable[..., Any]] = {}
        self._stopped = threading.Event()
        for part in (sessions, collector, *parts):
            for name in dir(part):
                if name[0].isupper():
                    self._methods[name] = getattr(part, name)

    def stop(self) -> None:
        self._stopped.set()

    def answer(self, envelope: bytes, cookie: str | None, address: str, agent: str) -> Answer:
        """Answer one request; raises DroppedError, TooManySessionsError."""
        call = Call("", None, None, address, agent)
        try:
            request = _body(envelope)
            call.method = local(request.tag)
            inside = self._call(call, request, cookie)
        except vmodl.MethodFault as fault:
            return Answer(500, _envelope(_fault(fault)), call.cookie)
        except (DroppedError, TooManySessionsError):
            raise
        except Exception:
            log.exception("%s failed in the simulated vCenter", call.method)
            broken = vmodl.fault.SystemError(reason="simulator", msg="A general system error occurred.")
            return Answer(500, _envelope(_fault(broken)))
        name = call.method
        return Answer(200, _envelope(f'<{name}Response xmlns="{NAMESPACE}">{inside}</{name}Response>'), call.cookie)

    def _call(self, call: Call, request: ET.Element, cookie: str | None) -> str:
        name = call.method
        given: dict[str, list[ET.Element]] = {}
        for child in request:
            given.setdefault(local(child.tag), []).append(child)
        if "_this" not in given:
            raise vmodl.fault.InvalidRequest(msg="The request names no object")
        ref = parse(given["_this"][0], VmomiSupport.ManagedObject)
        self._center.stats.count(name)
        with self._center.registry.lock:
            known = self._center.registry.objects.get(ref._moId)
            subject = ref._moId if known is None else known.subject
        self._trouble(name, subject, ref, cookie)
        with self._center.registry.lock:
            call.session = self._sessions.find(cookie)
            open_object = isinstance(ref, (vim.ServiceInstance, vim.SessionManager))
            if call.session is None and (name not in ANONYMOUS or not open_object):
                raise vim.fault.NotAuthenticated(
                    object=ref, privilegeId="System.View", msg="The session is not authenticated."
                )
            this = self._center.registry.find(ref)
            if this.owner not in ("", call.owner):
                raise gone(ref)
            self._sessions.asking = call.session
            if name == "Fetch":
                prop = given["prop"][0].text or ""
                return self._collector.fetch(call, this, prop, self._sessions.current(call.session))
            return self._invoke(call, this, given)

    def _invoke(self, call: Call, this: Managed, given: dict[str, list[ET.Element]]) -> str:
        try:
            info = VmomiSupport.GetWsdlMethod(NAMESPACE, call.method).info
        except KeyError:
            raise vmodl.fault.MethodNotFound(
                receiver=this.ref, method=call.method, msg=f"Method {call.method} is not known."
            ) from None
        if not this.is_a(info.type):
            raise vmodl.fault.MethodNotFound(
                receiver=this.ref, method=call.method, msg=f"{this.moid} has no method {call.method}."
            )
        method = self._methods.get(call.method)
        if method is None:
            raise vmodl.fault.NotSupported(msg=f"The simulated vCenter does not do {call.method}.")
        privilege = info.privId
        if privilege and privilege != "System.Anonymous":
            self._center.privileges.check(privilege, this)
        result = method(call, this, *_arguments(info, given))
        return "" if result is None else result if isinstance(result, Raw) else dump("returnval", result, info.result)

    def _trouble(self, name: str, subject: str, ref: Any, cookie: str | None) -> None:
        """Applies the injected faults, outside the lock."""
        fault = self._center.faults.take(name, subject, "error", "delay", "reset", "expire")
        if fault is None:
            return
        if fault.action == "delay":
            self._stopped.wait(fault.seconds)
        elif fault.action == "reset":
            raise DroppedError
        elif fault.action == "expire":
            with self._center.registry.lock:
                session = self._sessions.find(cookie)
                if session is not None:
                    self._sessions.end(session)
        else:
            about = self._center.registry.objects.get(ref._moId) or Managed(type(ref), ref._moId)
            raise make_fault(fault.code, fault.message, about)


def _body(envelope: bytes) -> ET.Element:
    """The request element inside an envelope; raises InvalidRequest."""
    try:
        root = ET.fromstring(envelope)  # noqa: S314 - loopback, and expat limits entity expansion
    except ET.ParseError as error:
        raise vmodl.fault.InvalidRequest(msg=f"The request is not XML: {error}") from error
    body = root.find(f"{{{SoapAdapter.XMLNS_SOAPENV}}}Body")
    request = None if body is None else next(iter(body), None)
    if request is None:
        raise vmodl.fault.InvalidRequest(msg="The envelope has no request")
    return request


def _arguments(info: Any, given: dict[str, list[ET.Element]]) -> list[Any]:
    """A method's arguments in the schema's order; raises InvalidRequest for missing and unknown ones."""
    names = {param.name for param in info.params} | {"_this"}
    unknown = sorted(set(given) - names)
    if unknown:
        raise vmodl.fault.InvalidRequest(msg=f"Unexpected parameter {unknown[0]}")
    found: list[Any] = []
    for param in info.params:
        elements = given.get(param.name, [])
        if issubclass(param.type, list):
            found.append(parse_items(elements, param.type))
        elif elements:
            found.append(parse(elements[0], param.type))
        elif param.flags & VmomiSupport.F_OPTIONAL:
            found.append(None)
        else:
            raise vmodl.fault.InvalidRequest(msg=f"Missing parameter {param.name}")
    return found


def _fault(fault: Any) -> str:
    text = escape(fault.msg or type(fault).__name__)
    return (
        f"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{text}</faultstring>"
        f"<detail>{dump_fault(fault)}</detail></soapenv:Fault>"
    )


def _envelope(inside: str) -> bytes:
    return f"{SoapAdapter.XML_HEADER}\n{SoapAdapter.SOAP_START}{inside}{SoapAdapter.SOAP_END}".encode()
