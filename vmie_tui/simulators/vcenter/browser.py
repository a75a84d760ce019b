"""The datastore browser: the files of the machines on a datastore, as a search lists them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.vcenter import describe
from vmie_tui.simulators.vcenter.calls import Call
from vmie_tui.simulators.vcenter.machine import Machine
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.tasks import Tasks
from vmie_tui.simulators.vcenter.values import data

Browser = vim.host.DatastoreBrowser


@dataclass(frozen=True, slots=True)
class _File:
    folder: str
    name: str
    size: int


class Browsers:
    """The browsers' methods; each datastore has one, made by `attach`."""

    def __init__(self, center: Center, tasks: Tasks) -> None:
        self._center, self._tasks = center, tasks
        self._stores: dict[str, Managed] = {}  # by the browser's id

    def attach(self) -> None:
        """Give every datastore its browser."""
        registry = self._center.registry
        for store in [one for one in registry.objects.values() if one.is_a(vim.Datastore)]:
            browser = registry.add(Managed(Browser, f"datastoreBrowser-{store.moid}", datastore=[store.ref]))
            self._stores[browser.moid] = store
            store.props["browser"] = browser.ref

    # ---- SOAP methods

    def SearchDatastore_Task(self, call: Call, this: Managed, path: str, spec: Any) -> Any:
        return self._search(call, this, path, spec, below=False)

    def SearchDatastoreSubFolders_Task(self, call: Call, this: Managed, path: str, spec: Any) -> Any:
        return self._search(call, this, path, spec, below=True)

    # ---- the work

    def _search(self, call: Call, this: Managed, path: str, spec: Any, *, below: bool) -> Any:
        store = self._stores[this.moid]
        self._center.privileges.check("Datastore.Browse", store)
        front = f"[{store.name}]"
        if not path.startswith(front):
            raise vim.fault.InvalidDatastore(name=path, datastore=store.ref, msg=f"Invalid datastore path '{path}'.")
        folder = path[len(front) :].strip().strip("/")

        def work() -> Any:
            files = list(self._files(store))
            folders = {one.folder for one in files}
            if folder and folder not in folders:
                raise vim.fault.FileNotFound(file=path, msg=f"File {path} was not found")
            wanted = [folder, *sorted(folders - {folder})] if below and not folder else [folder]
            found = [self._listed(store, each, files, spec) for each in wanted]
            return vim.host.DatastoreBrowser.SearchResults.Array(found) if below else found[0]

        return self._tasks.run(call, store, work)

    def _files(self, store: Managed) -> Iterator[_File]:
        front = f"[{store.name}] "
        for managed in self._center.registry.objects.values():
            if isinstance(managed, Machine):
                for one in describe.layout_ex(managed).file:
                    if one.name.startswith(front):
                        folder, _, name = one.name[len(front) :].rpartition("/")
                        yield _File(folder, name, int(one.size))

    def _listed(self, store: Managed, folder: str, files: list[_File], spec: Any) -> Any:
        flags = None if spec is None else spec.details
        patterns = list(spec.matchPattern) if spec is not None and spec.matchPattern else ["*"]
        here = [one for one in files if one.folder == folder]
        if not folder:
            here = [_File("", name, 0) for name in sorted({one.folder for one in files})]
        listed = [
            data(
                _kind(one, folder) if flags is not None and flags.fileType else Browser.FileInfo,
                path=one.name,
                fileSize=one.size if flags is not None and flags.fileSize else None,
                modification=describe.STARTED if flags is not None and flags.modification else None,
                owner="root" if flags is not None and flags.fileOwner else None,
            )
            for one in here
            if any(fnmatch.fnmatchcase(one.name, pattern) for pattern in patterns)
        ]
        front = f"[{store.name}]"
        return data(
            Browser.SearchResults,
            datastore=store.ref,
            folderPath=f"{front} {folder}/" if folder else front,
            file=listed,
        )


def _kind(one: _File, folder: str) -> Any:
    if not folder:
        return Browser.FolderInfo
    kinds = {"vmdk": Browser.VmDiskInfo, "vmx": Browser.VmConfigInfo, "nvram": Browser.VmNvramInfo}
    return kinds.get(one.name.rpartition(".")[2], Browser.FileInfo)
