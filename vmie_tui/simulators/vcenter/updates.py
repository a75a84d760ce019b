"""Property filters and WaitForUpdatesEx."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import VmomiSupport, vmodl

from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.collector import PropertyCollector, Reader
from vmie_tui.simulators.vcenter.privileges import denied
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.selection import Selector, check_path, paths_of, read_typed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.wire import Raw, dump, dump_any

LONGEST = 1800.0  # seconds of wall time a wait without a limit lasts here
SLICE = 0.5


class Filter(Managed):
    """One PropertyFilter: its spec and what was last told about each object."""

    __slots__ = ("dirty", "known", "reference", "seen_structure", "spec")

    def __init__(self, moid: str, spec: Any) -> None:
        super().__init__(PropertyCollector.Filter, moid, spec=spec, partialUpdates=False)
        self.spec = spec
        self.known: dict[str, dict[str, int]] = {}  # object -> path -> hash of its last value
        self.reference: dict[str, Any] = {}
        self.dirty: set[str] = set()
        self.seen_structure = -1


@dataclass(slots=True)
class Watch:
    """One collector of one session: its filters, and the last answer in case it was lost on the way."""

    filters: list[Filter] = field(default_factory=list)
    version: int = 0
    last: Any = None
    cancelled: int = 0


class Updates:
    """The PropertyCollector's watching methods."""

    def __init__(self, center: Center, reader: Reader) -> None:
        self._center, self._registry, self._reader = center, center.registry, reader
        self._watches: dict[tuple[str, str], Watch] = {}

    def _watch(self, call: Call, this: Managed) -> Watch:
        return self._watches.setdefault((call.owner, this.moid), Watch())

    def session_ended(self, key: str) -> None:
        for place in [place for place in self._watches if place[0] == key]:
            self._drop(self._watches.pop(place))

    def _drop(self, watch: Watch) -> None:
        for filtered in watch.filters:
            self._forget(filtered)

    def _forget(self, filtered: Filter) -> None:
        self._registry.remove(filtered)
        self._registry.listeners[:] = [told for told in self._registry.listeners if told is not filtered.dirty]

    # ---- SOAP methods

    def CreatePropertyCollector(self, call: Call, this: Managed) -> Any:
        made = Managed(PropertyCollector, f"session[{call.owner}]{uuid.uuid4()}", None, filter=[])
        made.owner = call.owner
        return self._registry.add(made).ref

    def DestroyPropertyCollector(self, call: Call, this: Managed) -> None:
        if not this.owner:
            raise vmodl.fault.InvalidArgument(invalidProperty="_this", msg="The default collector stays.")
        watch = self._watches.pop((call.owner, this.moid), None)
        if watch is not None:
            watch.cancelled += 1
            self._drop(watch)
        self._registry.remove(this)

    def CreateFilter(self, call: Call, this: Managed, spec: Any, partial: bool) -> Any:
        for managed in Selector(self._center, call.owner).objects(spec):
            paths_of(managed, spec)
        made = Filter(f"session[{call.owner}]{uuid.uuid4()}", spec)
        made.props["partialUpdates"] = partial
        made.owner = call.owner
        self._watch(call, this).filters.append(made)
        self._registry.listeners.append(made.dirty)
        return self._registry.add(made).ref

    def DestroyPropertyFilter(self, call: Call, this: Managed) -> None:
        for (owner, _), watch in self._watches.items():
            if owner == call.owner:
                watch.filters = [one for one in watch.filters if one is not this]
        if isinstance(this, Filter):
            self._forget(this)

    def CancelWaitForUpdates(self, call: Call, this: Managed) -> None:
        self._watch(call, this).cancelled += 1
        self._registry.changed.notify_all()

    def CheckForUpdates(self, call: Call, this: Managed, version: str | None) -> Any:
        return self._wait(call, this, version, 0.0, 0)

    def WaitForUpdates(self, call: Call, this: Managed, version: str | None) -> Any:
        return self._wait(call, this, version, LONGEST, 0)

    def WaitForUpdatesEx(self, call: Call, this: Managed, version: str | None, options: Any) -> Any:
        longest = None if options is None else options.maxWaitSeconds
        most = 0 if options is None else options.maxObjectUpdates or 0
        return self._wait(call, this, version, LONGEST if longest is None else float(longest), most)

    # ---- the wait; the registry's lock is held, and let go while nothing happens

    def _wait(self, call: Call, this: Managed, version: str | None, seconds: float, most: int) -> Any:
        watch = self._watch(call, this)
        if not version:
            for filtered in watch.filters:
                filtered.known.clear()
                filtered.seen_structure = -1
        elif version == str(watch.version - 1) and watch.last is not None:
            return watch.last
        elif version != str(watch.version):
            raise vmodl.query.InvalidCollectorVersion(msg="The version is not one of this collector's.")
        started, ends = watch.cancelled, time.monotonic() + seconds
        while True:
            found = self._collect(call, watch, most)
            if found is not None:
                return found
            left = ends - time.monotonic()
            if left <= 0:
                return None
            self._registry.changed.wait(min(left, SLICE))
            if watch.cancelled != started or self._registry.objects.get(this.moid) is not this:
                raise vmodl.fault.RequestCanceled(msg="The task was canceled by a user.")
            if call.session is not None:
                call.session.last = self._center.clock.now()

    def _collect(self, call: Call, watch: Watch, most: int) -> Any:
        sets, left, truncated = [], most or -1, False
        for filtered in watch.filters:
            changes = []
            for update in self._changes(call, filtered):
                if left == 0:
                    truncated = True
                    break
                update.commit()
                changes.append(update.xml)
                left -= 1
            if changes:
                sets.append(
                    f"<filterSet>{dump('filter', filtered.ref, PropertyCollector.Filter)}{''.join(changes)}</filterSet>"
                )
        if not sets:
            return None
        watch.version += 1
        more = "<truncated>true</truncated>" if truncated else ""
        watch.last = Raw(f"<returnval><version>{watch.version}</version>{''.join(sets)}{more}</returnval>")
        return watch.last

    def _changes(self, call: Call, filtered: Filter) -> Iterator[Update]:
        """Updates one by one; what is not taken is found again by the next call."""
        if filtered.seen_structure != self._registry.structure:
            now = {one.moid: one for one in self._selected(call, filtered)}
            for moid in [moid for moid in filtered.known if moid not in now]:
                yield Update.leave(filtered, moid)
            for moid, managed in now.items():
                if moid not in filtered.known or moid in filtered.dirty:
                    yield from self._object(filtered, managed)
            filtered.seen_structure = self._registry.structure
        for moid in list(filtered.dirty):
            found = self._registry.objects.get(moid)
            if found is not None and moid in filtered.known:
                yield from self._object(filtered, found)
            filtered.dirty.discard(moid)

    def _selected(self, call: Call, filtered: Filter) -> list[Managed]:
        try:
            return Selector(self._center, call.owner).objects(filtered.spec)
        except vmodl.fault.ManagedObjectNotFound:
            return []

    def _object(self, filtered: Filter, managed: Managed) -> Iterator[Update]:
        """The update of one object, none when nothing asked for changed."""
        before = filtered.known.get(managed.moid)
        wanted = [prop for prop in filtered.spec.propSet if issubclass(managed.kind, prop.type)]
        if not wanted:
            return
        now: dict[str, int] = {}
        changed: list[str] = []
        heads: dict[str, Any] = {}
        for path in paths_of(managed, filtered.spec):
            text = self._property(managed, path, heads)
            now[path] = hash(text)
            if before is None or before.get(path) != now[path]:
                unset = text.startswith("<changeSet>") and "<val" not in text
                if before is not None or not unset:
                    changed.append(text)
        if before is None or changed:
            yield Update.of(filtered, managed, "enter" if before is None else "modify", changed, now)
        filtered.dirty.discard(managed.moid)

    def _property(self, managed: Managed, path: str, heads: dict[str, Any]) -> str:
        privilege = check_path(managed.kind, path)
        if not self._reader.allowed(managed, privilege):
            fault = dump("fault", denied(privilege, managed), vmodl.MethodFault)
            return f"<missingSet><path>{path}</path>{fault}</missingSet>"
        value, declared = read_typed(managed, path, heads)
        return f"<changeSet><name>{path}</name><op>assign</op>{dump_any('val', value, declared)}</changeSet>"


@dataclass(slots=True)
class Update:
    """One ObjectUpdate, and what the filter knows once it is told."""

    filtered: Filter
    moid: str
    xml: str
    now: dict[str, int] | None
    reference: Any = None

    @classmethod
    def leave(cls, filtered: Filter, moid: str) -> Update:
        obj = dump("obj", filtered.reference[moid], VmomiSupport.ManagedObject)
        return cls(filtered, moid, f"<objectSet><kind>leave</kind>{obj}</objectSet>", None)

    @classmethod
    def of(cls, filtered: Filter, managed: Managed, kind: str, changes: list[str], now: dict[str, int]) -> Update:
        obj = dump("obj", managed.ref, VmomiSupport.ManagedObject)
        changes.sort(key=lambda text: text.startswith("<missingSet>"))  # the schema's order: changes first
        return cls(
            filtered,
            managed.moid,
            f"<objectSet><kind>{kind}</kind>{obj}{''.join(changes)}</objectSet>",
            now,
            managed.ref,
        )

    def commit(self) -> None:
        if self.now is None:
            self.filtered.known.pop(self.moid, None)
            self.filtered.reference.pop(self.moid, None)
        else:
            self.filtered.known[self.moid] = self.now
            self.filtered.reference[self.moid] = self.reference
