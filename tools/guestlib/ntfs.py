"""Copy a folder into an NTFS volume and print its free byte ranges as JSON: ``python -m guestlib.ntfs IMAGE FOLDER``.

ntfs-3g's own tools cannot make directories without mounting; its library can, and needs no root.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import re
import stat
import sys
from pathlib import Path

_CLUSTER = 4096
_AT_DATA = 0x80
_BITMAP_INODE = 6


def _library() -> ctypes.CDLL:
    lib = ctypes.CDLL(ctypes.util.find_library("ntfs-3g") or "libntfs-3g.so.89", use_errno=True)
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    signatures = {
        "ntfs_mount": (pointer, [ctypes.c_char_p, ctypes.c_ulong]),
        "ntfs_umount": (ctypes.c_int, [pointer, ctypes.c_int]),
        "ntfs_inode_open": (pointer, [pointer, ctypes.c_uint64]),
        "ntfs_inode_close": (ctypes.c_int, [pointer]),
        "ntfs_inode_close_in_dir": (ctypes.c_int, [pointer, pointer]),
        "ntfs_pathname_to_inode": (pointer, [pointer, pointer, ctypes.c_char_p]),
        "ntfs_create": (pointer, [pointer, ctypes.c_uint32, pointer, ctypes.c_uint8, ctypes.c_uint32]),
        "ntfs_attr_open": (pointer, [pointer, ctypes.c_uint32, pointer, ctypes.c_uint32]),
        "ntfs_attr_close": (None, [pointer]),
        "ntfs_attr_pwrite": (size, [pointer, size, size, ctypes.c_char_p]),
        "ntfs_attr_pread": (size, [pointer, size, size, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Volume:
    """An NTFS image opened for writing; OSError names what libntfs-3g would not do."""

    def __init__(self, image: Path) -> None:
        self._lib = _library()
        self._volume = self._need(self._lib.ntfs_mount(str(image).encode(), 0), f"mount {image}")
        self._unnamed = ctypes.addressof((ctypes.c_uint16 * 1).in_dll(self._lib, "AT_UNNAMED"))

    @staticmethod
    def _need(handle: int | None, what: str) -> int:
        if not handle:
            raise OSError(ctypes.get_errno(), f"libntfs-3g: cannot {what}")
        return handle

    def close(self) -> None:
        self._lib.ntfs_umount(self._volume, 0)

    def add(self, parent: str, name: str, mode: int, data: bytes | None) -> None:
        """A directory, or a file with ``data``, in the directory ``parent`` (a path with slashes)."""
        lib = self._lib
        directory = self._need(lib.ntfs_pathname_to_inode(self._volume, None, parent.encode()), f"find {parent}")
        raw = name.encode("utf-16-le")
        letters = ctypes.create_string_buffer(raw)
        inode = self._need(lib.ntfs_create(directory, 0, letters, len(raw) // 2, mode), f"create {parent}/{name}")
        if data:
            attribute = self._need(lib.ntfs_attr_open(inode, _AT_DATA, self._unnamed, 0), f"open {name}")
            if lib.ntfs_attr_pwrite(attribute, 0, len(data), data) != len(data):
                raise OSError(ctypes.get_errno(), f"libntfs-3g: cannot write {name}")
            lib.ntfs_attr_close(attribute)
        # The plain close updates the entry through a second copy of the directory, and one of the two copies is lost.
        if lib.ntfs_inode_close_in_dir(inode, directory) or lib.ntfs_inode_close(directory):
            raise OSError(ctypes.get_errno(), f"libntfs-3g: cannot close {parent}/{name}")

    def free(self, clusters: int) -> list[tuple[int, int]]:
        """Free byte ranges, from $Bitmap."""
        lib = self._lib
        inode = self._need(lib.ntfs_inode_open(self._volume, _BITMAP_INODE), "open $Bitmap")
        attribute = self._need(lib.ntfs_attr_open(inode, _AT_DATA, self._unnamed, 0), "open $Bitmap")
        buffer = ctypes.create_string_buffer(clusters // 8 + 1)
        count = lib.ntfs_attr_pread(attribute, 0, clusters // 8, buffer)
        lib.ntfs_attr_close(attribute)
        lib.ntfs_inode_close(inode)
        bits = "".join(f"{byte:08b}"[::-1] for byte in buffer.raw[:count])
        return [(m.start() * _CLUSTER, len(m[0]) * _CLUSTER) for m in re.finditer("0+", bits)]


def main() -> None:
    image, folder = Path(sys.argv[1]), Path(sys.argv[2])
    volume = Volume(image)
    try:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            parent = "/" if inside.parent == Path() else f"/{inside.parent}"
            directory = path.is_dir()
            volume.add(
                parent, path.name, stat.S_IFDIR if directory else stat.S_IFREG, None if directory else path.read_bytes()
            )
        ranges = volume.free(image.stat().st_size // _CLUSTER)
    finally:
        volume.close()
    print(json.dumps(ranges))


if __name__ == "__main__":
    main()
