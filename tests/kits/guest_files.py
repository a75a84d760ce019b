"""A guest's file system as a dictionary of paths and contents."""

from __future__ import annotations

from typing import Any

from vmie_tui.model.guest import NotInspected
from vmie_tui.services.disks.guest.filesystems import FileSystem, Kind
from vmie_tui.services.disks.guest.tree import Tree


class Fake:
    """A node of files given by path."""

    def __init__(self, files: dict[str, bytes], path: str = "") -> None:
        self.files, self.path = files, path
        content = files.get(path)
        self.kind = Kind.FOLDER if content is None else Kind.LINK if content.startswith(b"->") else Kind.FILE
        self.size = len(content or b"")

    def target(self) -> str:
        return self.files[self.path][2:].decode()

    def child(self, name: str) -> Fake | None:
        path = f"{self.path}/{name}"
        there = any(file == path or file.startswith(f"{path}/") for file in self.files)
        return Fake(self.files, path) if there else None

    def names(self) -> tuple[str, ...]:
        start = f"{self.path}/"
        return tuple(dict.fromkeys(file[len(start) :].split("/")[0] for file in self.files if file.startswith(start)))

    def read(self, offset: int, length: int) -> bytes:
        return self.files[self.path][offset : offset + length]


def tree(**files: Any) -> tuple[Tree, list[NotInspected]]:
    content = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    missed: list[NotInspected] = []
    return Tree(FileSystem("ext4", lambda: Fake(content)), missed), missed
