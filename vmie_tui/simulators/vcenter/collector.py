"""Reading properties: RetrievePropertiesEx and its pages."""

from __future__ import annotations

import uuid
import zlib
from typing import Any

from pyVmomi import VmomiSupport, vim, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.privileges import denied
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.selection import Selector, check_path, invalid, paths_of, read_typed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.wire import Raw, dump, dump_any, escape, type_name

PropertyCollector = vmodl.query.PropertyCollector
Work = tuple[Managed, tuple[str, ...]]


class Reader:
    """Writes objects' properties, and keeps what was written (deflated) until the object changes."""

    def __init__(self, center: Center) -> None:
        self._center = center

    def content(self, managed: Managed, paths: tuple[str, ...]) -> str:
        """propSet and missingSet elements of one object."""
        stamp = (paths, self._center.privileges.version)
        fault = self._center.faults.take("RetrievePropertiesEx", managed.subject, "missing")
        if fault is not None:
            return "".join(_missing(path, _missing_fault(fault.code, managed)) for path in paths)
        lasting = isinstance(managed.kind, type) and issubclass(managed.kind, vim.VirtualMachine)
        if lasting and managed.kept is not None and managed.kept[0] == stamp:
            return zlib.decompress(managed.kept[1]).decode()
        written = self._write(managed, paths)
        if lasting:
            managed.kept = (stamp, zlib.compress(written.encode(), 1))
        return written

    def _write(self, managed: Managed, paths: tuple[str, ...]) -> str:
        good: list[str] = []
        bad: list[str] = []
        heads: dict[str, Any] = {}
        for path in paths:
            privilege = check_path(managed.kind, path)
            if not self.allowed(managed, privilege):
                bad.append(_missing(path, denied(privilege, managed)))
            else:
                value, declared = read_typed(managed, path, heads)
                text = dump_any("val", value, declared)
                if text:
                    good.append(f"<propSet><name>{escape(path)}</name>{text}</propSet>")
        return "".join(good) + "".join(bad)

    def allowed(self, managed: Managed, privilege: str) -> bool:
        return privilege == "System.Anonymous" or self._center.privileges.held(privilege, managed)


def _missing(path: str, fault: Any) -> str:
    return f"<missingSet><path>{escape(path)}</path>{dump('fault', fault, vmodl.MethodFault)}</missingSet>"


def _missing_fault(code: str, managed: Managed) -> Any:
    kind = getattr(vim.fault, code or "NotAuthenticated")
    text = "The session is not authenticated." if kind is vim.fault.NotAuthenticated else "No permission."
    return kind(object=managed.ref, privilegeId="System.Read", msg=text)


class Collector:
    """The PropertyCollector's reading methods."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self.reader = Reader(center)
        center.registry.add(Managed(PropertyCollector, "propertyCollector", filter=[]))

    def _work(self, call: Call, specs: Any) -> list[Work]:
        found: list[Work] = []
        if not specs:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="specSet", msg="A specified parameter was not correct: specSet"
            )
        for spec in specs:
            for managed in Selector(self._center, call.owner).objects(spec):
                paths = paths_of(managed, spec)
                if paths or any(issubclass(managed.kind, prop.type) for prop in spec.propSet):
                    found.append((managed, paths))
        return found

    def _objects(self, work: list[Work]) -> str:
        here = self._center.registry.objects
        return "".join(
            f'<objects><obj type="{type_name(managed.kind)}">{escape(managed.moid)}</obj>'
            f"{self.reader.content(managed, paths)}</objects>"
            for managed, paths in work
            if here.get(managed.moid) is managed
        )

    def _page(self, call: Call, work: list[Work], size: int) -> Raw:
        page, rest = (work[:size], work[size:]) if size else (work, [])
        token = ""
        if rest and call.session is not None:
            name = uuid.uuid4().hex
            call.session.pages[name] = (rest, size)
            token = f"<token>{name}</token>"
        return Raw(f"<returnval>{token}{self._objects(page)}</returnval>") if page else Raw("")

    # ---- SOAP methods

    def RetrievePropertiesEx(self, call: Call, this: Managed, specs: Any, options: Any) -> Raw:
        size = (options.maxObjects if options is not None else None) or 0
        if size < 0:
            raise vmodl.fault.InvalidArgument(invalidProperty="options.maxObjects", msg="maxObjects must be positive")
        limit = self._center.options.page_limit
        if limit:
            size = min(size or limit, limit)
        return self._page(call, self._work(call, specs), size)

    def ContinueRetrievePropertiesEx(self, call: Call, this: Managed, token: str) -> Raw:
        pages = call.session.pages if call.session is not None else {}
        if token not in pages:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="token", msg="A specified parameter was not correct: token"
            )
        return self._page(call, *pages.pop(token))

    def CancelRetrievePropertiesEx(self, call: Call, this: Managed, token: str) -> None:
        pages = call.session.pages if call.session is not None else {}
        if pages.pop(token, None) is None:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="token", msg="A specified parameter was not correct: token"
            )

    def RetrieveProperties(self, call: Call, this: Managed, specs: Any) -> Raw:
        return Raw(
            self._objects(self._work(call, specs))
            .replace("<objects>", "<returnval>")
            .replace("</objects>", "</returnval>")
        )

    def fetch(self, call: Call, this: Managed, name: str, current_session: Any) -> str:
        """pyVmomi's property accessor: one property of one object."""
        if this.is_a(vim.SessionManager) and name == "currentSession":
            return dump_any("returnval", current_session)
        try:
            declared = VmomiSupport.GetPropertyInfo(this.kind, name).type
        except AttributeError:
            raise invalid(name) from None
        privilege = check_path(this.kind, name)
        if call.session is None and privilege != "System.Anonymous":
            raise vim.fault.NotAuthenticated(
                object=this.ref, privilegeId=privilege, msg="The session is not authenticated."
            )
        if not self.reader.allowed(this, privilege):
            raise denied(privilege, this)
        return dump_any("returnval", this.value(name), declared)
