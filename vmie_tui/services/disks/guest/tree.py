"""A guest's directory tree: several file systems mounted into one, symbolic links followed inside the guest only."""

from __future__ import annotations

from vmie_tui.model.errors import ServiceError
from vmie_tui.model.guest import NotInspected, Presence
from vmie_tui.services.disks.guest.filesystems import FileSystem, Kind, Node
from vmie_tui.services.disks.guest.yal import DamagedError

_MOST_LINKS = 40
_MOST_PARTS = 64
Path = tuple[str, ...]


class _HiddenError(DamagedError):
    """What lies below a mount point whose file system was not found; it was noted once, for all of it."""


class Tree:
    """Looks files up. What cannot be read is noted in ``missed`` once, and is neither there nor missing."""

    def __init__(self, root: FileSystem, missed: list[NotInspected]) -> None:
        self._mounts: dict[Path, FileSystem] = {(): root}
        self._nodes: dict[Path, Node | None] = {}
        self._missed = missed
        self._hidden: dict[Path, str] = {}

    def mount(self, path: str, system: FileSystem) -> None:
        """Show ``system`` at ``path``."""
        self._mounts[_parts(path)] = system
        self._nodes.clear()

    def hide(self, path: str, why: str) -> None:
        """Something is mounted at ``path`` that was not found: all that lies there is unknown."""
        self.miss(path, why)
        self._hidden[_parts(path)] = why
        self._nodes.clear()

    @property
    def dirty(self) -> bool:
        """Whether what is missing may wait in a journal."""
        return any(system.dirty for system in self._mounts.values())

    def miss(self, what: str, why: str) -> None:
        """Note that something was not inspected."""
        note = NotInspected(what, why)
        if note not in self._missed:
            self._missed.append(note)

    # ---- lookups that raise ServiceError

    def find(self, path: str) -> Node | None:
        """The file, directory or other thing at ``path`` with every link followed; None when there is none."""
        return self._walk(_parts(path))[1]

    def real(self, path: str) -> str | None:
        """The path without links; None when there is nothing."""
        place, node = self._walk(_parts(path))
        return None if node is None else "/" + "/".join(place)

    def _walk(self, wanted: Path) -> tuple[Path, Node | None]:
        todo, links = list(reversed(wanted)), 0
        place: Path = ()
        node = self._at(())
        while todo and node is not None:
            name = todo.pop()
            if name == "..":
                place = place[:-1]
                node = self._at(place)
                continue
            if len(place) >= _MOST_PARTS:
                raise DamagedError("its directories are nested too deeply")
            following = (*place, name)
            node = self._at(following)
            if node is None or node.kind is not Kind.LINK:
                place = following
                continue
            links += 1
            target = node.target()
            if links > _MOST_LINKS or not target or len(todo) > 4 * _MOST_PARTS:
                raise DamagedError(f"too many symbolic links on the way to {'/'.join(wanted)}")
            todo += reversed(_parts(target))
            place = () if target.startswith("/") else place
            node = self._at(place)
        return place, node

    def _at(self, place: Path) -> Node | None:
        """The node at a path that goes through no links."""
        if place in self._hidden:
            raise _HiddenError(self._hidden[place])
        if place not in self._nodes:
            if place in self._mounts:
                found: Node | None = self._mounts[place].root()
            else:
                parent = self._at(place[:-1])
                found = parent.child(place[-1]) if parent is not None and parent.kind is Kind.FOLDER else None
            self._nodes[place] = found
        return self._nodes[place]

    # ---- lookups that note what they could not read

    def has(self, *paths: str) -> Presence:
        """Whether one of the paths exists."""
        unknown = False
        for path in paths:
            try:
                if self.find(path) is not None:
                    return Presence.PRESENT
            except ServiceError as error:
                self._failed(path, error)
                unknown = True
        return Presence.UNKNOWN if unknown else self._absent(paths[0])

    def _absent(self, path: str) -> Presence:
        if not self.dirty:
            return Presence.MISSING
        self.miss(path, "it was not found, but may wait in the journal of its file system")
        return Presence.UNKNOWN

    def text(self, path: str, most: int = 1 << 17, *, needed: bool = True) -> tuple[Presence, str]:
        """As `content`: the file from its start, at most ``most`` bytes."""
        presence, data = self.content(path, 0, most, needed=needed)
        return presence, data.decode("utf-8", "replace")

    def content(self, path: str, offset: int, length: int, *, needed: bool = True) -> tuple[Presence, bytes]:
        """Whether there is such a file, and some of its bytes; one not ``needed`` may be missing without a note."""
        try:
            node = self.find(path)
            if node is None or node.kind is not Kind.FILE:
                return (self._absent(path) if needed else Presence.MISSING), b""
            return Presence.PRESENT, node.read(offset, length)
        except ServiceError as error:
            self._failed(path, error)
            return Presence.UNKNOWN, b""

    def names(self, path: str) -> tuple[str, ...] | None:
        """The names in a directory, () when it does not exist, None when it cannot be read."""
        try:
            node = self.find(path)
            return node.names() if node is not None and node.kind is Kind.FOLDER else ()
        except ServiceError as error:
            self._failed(path, error)
            return None

    def _failed(self, path: str, error: ServiceError) -> None:
        if not isinstance(error, _HiddenError):
            self.miss(path, error.problem.what)


def _parts(path: str) -> Path:
    return tuple(part for part in path.split("/") if part not in {"", "."})
