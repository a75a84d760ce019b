"""Property collector reads as light records, parsed straight from the response with the C XML parser.

pyVmomi builds a typed object for each element of a reply; a machine's devices have hundreds of them. For the reads
that return thousands of objects only the few elements wanted are looked at, about a tenth of the work.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from vmie_tui.model.errors import ServiceError
from vmie_tui.services.vsphere.errors import from_fault_name
from vmie_tui.services.vsphere.sdk import PC, pyVmomi, vim, vmodl
from vmie_tui.services.vsphere.session import VSphere

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
PAGE_SIZE = 500
UNKNOWN_PATHS = 6  # how many properties an old vCenter may not know before the read gives up


@dataclass(slots=True)
class Record:
    """One object of a reply: its wanted properties as elements, and why others are missing (path -> fault)."""

    kind: str
    moid: str
    values: dict[str, ET.Element] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def text(self, path: str, default: str = "") -> str:
        element = self.values.get(path)
        return default if element is None or element.text is None else element.text

    def number(self, path: str, default: int = 0) -> int:
        return int(self.text(path) or default)

    def flag(self, path: str) -> bool:
        return self.text(path) in ("true", "1")


def local(element: ET.Element) -> str:
    """The tag without its namespace."""
    return element.tag.rpartition("}")[2]


def kind_of(element: ET.Element) -> str:
    """The xsi:type without its prefix: ``VirtualDisk``."""
    return element.get(XSI_TYPE, "").rpartition(":")[2]


def child(element: ET.Element, *names: str) -> ET.Element | None:
    """The element at the end of a path of local names."""
    found: ET.Element | None = element
    for name in names:
        found = next((item for item in (found if found is not None else ()) if local(item) == name), None)
    return found


def children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    return (item for item in element if local(item) == name)


def text_at(element: ET.Element, *names: str) -> str:
    """The text at a path of local names, empty when it is not there."""
    found = child(element, *names)
    return "" if found is None or found.text is None else found.text


class Page:
    """One reply of the property collector, read as it arrives; ``token`` is known when the records are consumed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.token = ""

    def records(self) -> Iterator[Record]:
        """The records. An element is good only until the next record is asked for."""
        for _, element in ET.iterparse(self._stream):  # noqa: S314 - expat limits amplification
            name = local(element)
            if name == "objects":
                yield _record(element)
                element.clear()
            elif name == "token":
                self.token = element.text or ""


def _record(element: ET.Element) -> Record:
    record = Record("", "")
    for item in element:
        name = local(item)
        if name == "propSet":
            value = child(item, "val")
            if value is not None:
                record.values[text_at(item, "name")] = value
        elif name == "missingSet":
            fault = child(item, "fault", "fault")
            record.missing[text_at(item, "path")] = kind_of(fault) if fault is not None else ""
        elif name == "obj":
            record.kind, record.moid = item.get("type", "").rpartition(":")[2], item.text or ""
    return record


def retrieve(
    vsphere: VSphere,
    specification: Any,
    *,
    page_size: int = PAGE_SIZE,
    cancelled: Callable[[], bool] = lambda: False,
    on_page_end: Callable[[], None] = lambda: None,
) -> Iterator[Record]:
    """The records a PropertyFilterSpec selects, page after page; ends early, and tells vCenter, when cancelled.

    Raises ServiceError; a session that ended is found in missingSet too (trap 8), code NotAuthenticated.
    """
    collector = vsphere.content.propertyCollector
    options = PC.RetrieveOptions(maxObjects=page_size)
    arguments: tuple[Any, ...] = ([specification], options)
    method = PC.RetrievePropertiesEx.info
    while True:
        page = yield from _page(vsphere, collector, method, arguments)
        on_page_end()
        if not page.token:
            return
        token = page.token
        if cancelled():
            vsphere.once(lambda: collector.CancelRetrievePropertiesEx(token))  # noqa: B023 - called at once
            return
        method, arguments = PC.ContinueRetrievePropertiesEx.info, (token,)


def _page(vsphere: VSphere, collector: Any, method: Any, arguments: tuple[Any, ...]) -> Generator[Record, None, Page]:
    stub = vsphere.stub
    request = stub.SerializeRequest(collector, method, arguments)
    connection, response = vsphere.once(lambda: _post(stub, request))
    finished = False
    try:
        page = Page(response)
        records = page.records()
        while True:
            record = vsphere.once(lambda: next(records, None))
            if record is None:
                break
            if "NotAuthenticated" in record.missing.values():
                raise from_fault_name("NotAuthenticated")
            yield record
        vsphere.once(response.read)
        finished = True
    finally:
        if finished:
            stub.ReturnConnection(connection)
        else:
            connection.close()
    return page


def _post(stub: Any, request: bytes) -> tuple[Any, Any]:
    """Send a request; the connection and its 200 reply as a stream, or the fault raised."""
    headers = {
        "Cookie": stub.cookie,
        "SOAPAction": stub.versionId,
        "Content-Type": "text/xml; charset=UTF-8",
        "Accept-Encoding": "gzip",
    }
    for last in (False, True):
        reused = bool(stub.pool)
        connection = stub.GetConnection()
        try:
            connection.request("POST", stub.path, request, headers)
            response = connection.getresponse()
            break
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()  # an idle connection that the server had closed: a read may be repeated
            stub.DropConnections()
            if last or not reused:
                raise
        except BaseException:
            connection.close()
            raise
    packed = response.getheader("Content-Encoding", "").lower() == "gzip"
    stream: Any = gzip.GzipFile(fileobj=response) if packed else response
    if response.status == 200:
        return connection, stream
    try:
        if response.status == 500:
            raise pyVmomi.SoapAdapter.SoapResponseDeserializer(stub).Deserialize(stream, object)
        raise http.client.HTTPException(f"{response.status} {response.reason}")
    finally:
        connection.close()


def properties(vsphere: VSphere, target: Any, *paths: str) -> dict[str, Any]:
    """Properties of one managed object as pyVmomi values, those that are unset left out. For small reads.

    Raises the vmodl faults as they are: wrap in `VSphere.call`. A missingSet fault is raised too.
    """
    specification = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=target)],
        propSet=[PC.PropertySpec(type=type(target), pathSet=list(paths))],
    )
    collector = vmodl.query.PropertyCollector(vsphere.content.propertyCollector._moId, target._stub)
    result = collector.RetrievePropertiesEx([specification], PC.RetrieveOptions())
    found: dict[str, Any] = {}
    for content in result.objects if result else ():
        for missing in content.missingSet or ():
            raise missing.fault
        found.update({item.name: item.val for item in content.propSet or ()})
    return found


@contextlib.contextmanager
def view_of_all(vsphere: VSphere, kinds: Iterable[str], *, doing: str) -> Iterator[Any]:
    """A ContainerView of all objects of these kinds (``VirtualMachine``), destroyed at the end. Raises ServiceError."""
    content, types = vsphere.content, [getattr(vim, kind) for kind in kinds]
    view = vsphere.call(lambda: content.viewManager.CreateContainerView(content.rootFolder, types, True), doing=doing)
    try:
        yield view
    finally:
        with contextlib.suppress(Exception):  # vCenter drops it with the session anyway
            view.DestroyView()


def view_specification(view: Any, paths: Mapping[str, Sequence[str]]) -> Any:
    """A filter over a ContainerView: ``paths`` for each kind of object."""
    traversal = PC.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
    return PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
        propSet=[PC.PropertySpec(type=getattr(vim, kind), pathSet=list(wanted)) for kind, wanted in paths.items()],
    )


def object_specification(target: Any, paths: Sequence[str]) -> Any:
    """A filter for one object."""
    return PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=target)], propSet=[PC.PropertySpec(type=type(target), pathSet=list(paths))]
    )


def without_unknown(read: Callable[[list[str]], Any], paths: Sequence[str]) -> Any:
    """``read(paths)``, leaving out each path an older vCenter names in InvalidProperty."""
    wanted = list(paths)
    for _ in range(UNKNOWN_PATHS):
        try:
            return read(wanted)
        except ServiceError as error:
            words = {word.strip(".") for word in re.findall(r"[\w.]+", error.problem.detail)}
            unknown = sorted((path for path in wanted if path in words), key=len)
            if error.problem.code != "InvalidProperty" or not unknown:
                raise
            wanted.remove(unknown[-1])  # the longest: the text may hold a word such as "name" too
    return read(wanted)
