"""Inspects a Linux system for what VM Import checks."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence

from vmie_tui.model.guest import BootEntries, FstabLine, GrubConfig, Kernel, LinuxFacts, Presence
from vmie_tui.services.disks.guest.devices import unescape
from vmie_tui.services.disks.guest.networks import assignments, ini, read_networks
from vmie_tui.services.disks.guest.tree import Tree

DRIVERS = ("nvme", "ena", "xen-blkfront")
_GRUB = ("grub/grub.cfg", "grub2/grub.cfg", "grub/grub.conf", "grub/menu.lst")
_GRUB_ON_ESP = ("/boot/efi/EFI/redhat", "/boot/efi/EFI/centos", "/boot/efi/EFI/rocky", "/boot/efi/EFI/almalinux")
_MOUNTED = {"/boot", "/boot/efi", "/efi", "/usr"}
_KERNEL = re.compile(r"(?:vmlinu[xz]|bzImage|Image|kernel(?:-genkernel-x86_64)?)-(?=.)")
_BARE = {"vmlinuz", "vmlinux", "bzImage", "Image"}
# A kernel that is packed or signed has the same version; a checksum, a key or a configuration beside it is none.
_WRAPPED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzma", ".lzo", ".signed", ".efi", ".old", ".bak", ".dpkg-bak")
_NO_KERNEL = (".hmac", ".sig", ".asc", ".sha256", ".sha512", ".sha1", ".md5", ".config", ".crt", ".debug", ".dpkg-tmp")
_RAMDISKS = (
    "initrd.img-{0}", "initramfs-{0}.img", "initrd-{0}", "initrd-{0}.img", "initramfs-{0}", "initrd-{0}.gz",
    "initramfs-{0}.gz", "initramfs-genkernel-x86_64-{0}", "initramfs-genkernel-x86_64-{0}.img", "initrd.img-{0}.gz",
)  # fmt: skip
_MACHINES = {0x3E: "x86_64", 3: "i386", 0xB7: "arm64"}
_DHCP = (
    "/usr/sbin/NetworkManager", "/sbin/dhclient", "/usr/lib/systemd/systemd-networkd", "/usr/sbin/wickedd-dhcp4",
    "/usr/lib/wicked/bin/wickedd-dhcp4", "/usr/libexec/wicked/bin/wickedd-dhcp4", "/sbin/dhcpcd", "/usr/sbin/dhclient",
    "/usr/sbin/dhcpcd", "/lib/systemd/systemd-networkd", "/sbin/udhcpc", "/usr/sbin/connmand",
)  # fmt: skip
_SSHD_WANTED = (
    "/etc/systemd/system/multi-user.target.wants/sshd.service",
    "/etc/systemd/system/multi-user.target.wants/ssh.service",
    "/etc/systemd/system/sockets.target.wants/ssh.socket",
    "/etc/systemd/system/sockets.target.wants/sshd.socket",
    "/etc/init/ssh.conf",
)
_RUN_LEVELS = ("/etc/rc.d/rc3.d", "/etc/rc3.d", "/etc/rc2.d", "/etc/init.d/rc3.d")
_FORMATS = (
    (b"\x1f\x8b", "gzip"), (b"070701", "cpio"), (b"070702", "cpio"), (b"070707", "cpio"), (b"\xc7\x71", "cpio"),
    (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ", "xz"), (b"\x02\x21\x4c\x18", "lz4"), (b"\x04\x22\x4d\x18", "lz4"),
    (b"BZh", "bzip2"), (b"\x5d\0", "lzma"), (b"\x89LZO", "lzo"),
)  # fmt: skip
_MOST_KERNELS = 8
_PIECE, _MAX_MODULES = 256 << 10, 1536 << 10


def inspect_linux(tree: Tree, volume: str, free: int | None, grub: tuple[GrubConfig, ...]) -> LinuxFacts:
    """Collects all facts below one root, the cheap and decisive ones first."""
    release, ident, version, name, point = _release(tree)
    fstab, lines = read_fstab(tree)
    sshd = tree.has("/usr/sbin/sshd", "/sbin/sshd")
    return LinuxFacts(
        volume=volume,
        os_id=ident,
        os_version=version,
        os_name=name,
        release=release,
        point_release=point,
        elf=_elf(tree),
        fstab=fstab,
        fstab_lines=lines,
        bls=_entries(tree),
        dhcp=tree.has(*_DHCP),
        sshd=sshd,
        sshd_enabled=_sshd_enabled(tree) if sshd is Presence.PRESENT else sshd,
        vmware_tools=tree.has("/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd"),
        nics=read_networks(tree),
        grub=grub,
        free=free,
        kernels=_kernels(tree),  # last: the lists of modules are long
    )


def is_root(tree: Tree) -> Presence:
    """Whether a Linux system is installed here."""
    return tree.has("/etc/os-release", "/etc/fstab", "/etc/redhat-release", "/etc/debian_version", "/etc/passwd")


def _release(tree: Tree) -> tuple[Presence, str, str, str, str]:
    """(is there a release file, id, version, name, Debian's point release)."""
    presence, text = tree.text("/etc/os-release", 8192)
    point = tree.text("/etc/debian_version", 64, needed=False)[1].strip()
    if presence is Presence.MISSING:
        presence, text = tree.text("/usr/lib/os-release", 8192)
    if presence is Presence.PRESENT:
        found = assignments(text)
        return presence, found.get("ID", ""), found.get("VERSION_ID", ""), found.get("PRETTY_NAME", ""), point
    for path, ident in (
        ("/etc/oracle-release", "ol"), ("/etc/centos-release", "centos"), ("/etc/fedora-release", "fedora"),
        ("/etc/redhat-release", ""),
    ):  # fmt: skip
        known, text = tree.text(path, 256, needed=False)
        if known is Presence.PRESENT and (match := re.search(r"release (\d+(?:\.\d+)*)", text)):
            guess = "centos" if "centos" in text.lower() else "rhel"
            return known, ident or guess, match[1], text.strip(), point
    known, text = tree.text("/etc/SuSE-release", 256, needed=False)
    if known is Presence.PRESENT and (match := re.search(r"^VERSION = (\d+)", text, re.MULTILINE)):
        pack = re.search(r"^PATCHLEVEL = ([1-9]\d*)", text, re.MULTILINE)
        return known, "sles", f"{match[1]}.{pack[1]}" if pack else match[1], text.split("\n", 1)[0].strip(), point
    if point:
        return Presence.PRESENT, "debian", point.split("/")[0], f"Debian {point}", point
    return presence, "", "", "", point


def _elf(tree: Tree) -> str | None:
    """The architecture of the installed programs."""
    for path in ("/bin/ls", "/bin/bash", "/bin/sh", "/usr/bin/ls"):
        presence, head = tree.content(path, 0, 20)
        if presence is Presence.PRESENT and head[:4] == b"\x7fELF" and len(head) == 20:
            machine = struct.unpack_from("<H", head, 18)[0]
            return _MACHINES.get(machine, f"machine {machine:#x}")
    tree.miss("the processor architecture", "there is no program in /bin to look at")
    return None


def read_fstab(tree: Tree) -> tuple[Presence, tuple[FstabLine, ...]]:
    """The lines of /etc/fstab that are not comments."""
    presence, text = tree.text("/etc/fstab")
    lines = []
    for number, text_line in enumerate(text.splitlines()[:1000], 1):
        words = [] if text_line.lstrip().startswith("#") else text_line.split()
        if not words:
            continue
        problem = ""
        if len(words) < 3:
            problem = f"it has {len(words)} of at least 3 fields"
        elif not (words[1].startswith("/") or words[1] in {"none", "swap"}):
            problem = "its second field is no mount point"
        spec, mount, kind, options = (*(unescape(word) for word in words[:4]), "", "", "", "")[:4]
        lines.append(FstabLine(number, text_line.strip()[:200], spec, mount, kind, problem, options))
    return presence, tuple(lines)


def mounts(tree: Tree) -> dict[str, str]:
    """{mount point: device} of the file systems that matter here, by /etc/fstab and systemd's mount units."""
    found = {}
    for line in read_fstab(tree)[1]:
        place = line.mount.rstrip("/")
        if not line.problem and place in _MOUNTED:
            found[place] = line.spec
    for place in sorted(_MOUNTED - set(found)):
        unit = place.strip("/").replace("/", "-")
        presence, text = tree.text(f"/etc/systemd/system/{unit}.mount", 8192, needed=False)
        if presence is Presence.PRESENT and (spec := ini(text).get("mount", {}).get("what", [""])[-1]):
            found[place] = spec
    return found


def loader_roots(tree: Tree) -> tuple[str, ...]:
    """The devices that a boot loader's configuration gives its kernels as ``root=``."""
    texts = []
    for name in _GRUB:
        for path in (f"/boot/{name}", f"/{name}"):
            texts.append(tree.content(path, 0, 1 << 19, needed=False)[1])
    for folder in ("/boot/loader/entries", "/loader/entries"):
        for name in [name for name in tree.names(folder) or () if name.endswith(".conf")][:_MOST_KERNELS]:
            texts.append(tree.content(f"{folder}/{name}", 0, 4096, needed=False)[1])
    for path in ("/boot/grub2/grubenv", "/grub2/grubenv"):
        texts.append(tree.content(path, 0, 4096, needed=False)[1])
    words = (word.strip(b"\"'") for text in texts for word in text.split() if b"root=" in word)
    specs = (word.partition(b"root=") for word in words)
    # kernelopts=root=... in grubenv; not nfsroot=, not what a script fills in, not GRUB's own root
    found = (value for before, _, value in specs if before in {b"", b"kernelopts="} and not value.startswith(b"$"))
    names = (value.strip(b"\"'").decode("utf-8", "replace") for value in found)
    return tuple(dict.fromkeys(name for name in names if "=" in name or name.startswith("/")))


def kernel_version(name: str) -> str:
    """The version in the name of a kernel's file; "" for a file that is none."""
    match = _KERNEL.match(name)
    if match is None or name.endswith(_NO_KERNEL):
        return ""
    version, shorter = name[match.end() :], ""
    while version != shorter:
        shorter = version
        for end in _WRAPPED:
            version = version.removesuffix(end)
    return "" if version.startswith("0-rescue") else version


def _kernels(tree: Tree) -> tuple[Kernel, ...] | None:
    """The kernels in /boot, or on the EFI system partition. None when that cannot be read, or tells no version."""
    names = tree.names("/boot")
    if names is None:
        return None
    files: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (not name.startswith("vmlinuz"), len(name), name)):
        if version := kernel_version(name):
            files.setdefault(version, name)
    modules = tree.names("/lib/modules")
    ramdisks = {version: _ramdisk_of(version, names) for version in files}
    real = [version for version in files if ramdisks[version] or version in (modules or ())]
    if len(real) < len(files):
        entries = _mentioned(tree)
        real += [version for version in files if version not in real and _booted(version, files[version], entries)]
    if not files:
        return _unified(tree) or _nameless(tree, names)
    newest = sorted(real or files, key=_version_key, reverse=True)[:_MOST_KERNELS]
    return tuple(
        _kernel(tree, version, f"/boot/{files[version]}", ramdisks[version], number)
        for number, version in enumerate(newest)
    )


def _mentioned(tree: Tree) -> str:
    """The boot loaders' configuration as one text."""
    texts = [tree.content(f"/boot/{name}", 0, 1 << 19, needed=False)[1] for name in _GRUB]
    return "\n".join(
        (*(text.decode("utf-8", "replace") for text in texts), *(tree.names("/boot/loader/entries") or ()))
    )


def _booted(version: str, name: str, entries: str) -> bool:
    return f"/{name}" in entries or f"-{version}.conf" in entries


def _nameless(tree: Tree, names: Sequence[str]) -> tuple[Kernel, ...] | None:
    """No kernel, unless there are some whose names do not tell a version."""
    if any(name in _BARE or name.startswith(("kernel", "bzImage")) for name in names) or "ostree" in names:
        tree.miss("the kernels in /boot", "their names do not tell which versions they are")
        return None
    return ()


def _unified(tree: Tree) -> tuple[Kernel, ...]:
    """Kernels as systemd-boot wants them: unified images, or a folder for each version."""
    found = []
    for base in ("/boot/efi", "/efi", "/boot"):
        for name in tree.names(f"{base}/EFI/Linux") or ():
            if name.lower().endswith(".efi"):  # MACHINE-VERSION.efi, or linux-VERSION.efi; its initramfs is inside
                version = name[:-4].partition("-")[2] or name[:-4]
                modules = tree.has(f"/lib/modules/{_modules_of(tree, version)}/modules.dep")
                found.append(
                    Kernel(version, f"{base}/EFI/Linux/{name}", Presence.PRESENT, format="unified", modules=modules)
                )
        for machine in [name for name in tree.names(base) or () if len(name) == 32][:4]:
            for version in (tree.names(f"{base}/{machine}") or ())[:_MOST_KERNELS]:
                inside = tree.names(f"{base}/{machine}/{version}") or ()
                if "linux" in inside:
                    ramdisk = f"{machine}/{version}/initrd" if "initrd" in inside else ""
                    path = f"{base}/{machine}/{version}/linux"
                    found.append(_kernel(tree, version, path, ramdisk, len(found), base=base))
        if found:
            break
    return tuple(sorted(found, key=lambda kernel: _version_key(kernel.version), reverse=True)[:_MOST_KERNELS])


def _ramdisk_of(version: str, names: Sequence[str]) -> str:
    """The name of a kernel version's initramfs; "" if there is none."""
    return next((found for form in _RAMDISKS if (found := form.format(version)) in names), "")


def _version_key(version: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.\-_+]", version))


def _kernel(tree: Tree, version: str, path: str, ramdisk: str, number: int, *, base: str = "/boot") -> Kernel:
    known = _modules_of(tree, version)
    modules = tree.has(f"/lib/modules/{known}/modules.dep")
    presence, kind = Presence.UNKNOWN, None
    if not ramdisk:
        presence = tree.has(f"{base}/{_RAMDISKS[0].format(version)}")
    else:
        presence, head = tree.content(f"{base}/{ramdisk}", 0, 8)
        if presence is Presence.PRESENT:
            kind = next((label for magic, label in _FORMATS if head.startswith(magic)), "")
    drivers = _drivers(tree, known) if not number and modules is Presence.PRESENT else {}
    return Kernel(version, path, presence, f"{base}/{ramdisk}" if ramdisk else "", kind, modules, drivers)


def _modules_of(tree: Tree, version: str) -> str:
    """The folder of a kernel's modules. For vmlinuz-linux or vmlinuz-lts the only folder tells which version it is."""
    if version[:1].isdigit():
        return version
    folders = [name for name in tree.names("/lib/modules") or () if name[:1].isdigit()]
    return folders[0] if len(folders) == 1 else version


def _drivers(tree: Tree, version: str) -> dict[str, Presence]:
    """The drivers EC2 needs that this kernel has, as modules or built in; stops reading once all are found."""
    missing = set(DRIVERS)
    unknown = False
    for path in (f"/lib/modules/{version}/modules.builtin", f"/lib/modules/{version}/modules.dep"):
        tail = b""
        for at in range(0, _MAX_MODULES, _PIECE):
            presence, data = tree.content(path, at, _PIECE)
            unknown = unknown or presence is Presence.UNKNOWN or (at + _PIECE >= _MAX_MODULES and bool(data))
            found = re.findall(rb"/(nvme|ena|xen[-_]blkfront)\.ko", tail + data)
            missing -= {name.decode().replace("_", "-") for name in found}
            tail = data[-64:]
            if len(data) < _PIECE or not missing:
                break
    lacking = Presence.UNKNOWN if unknown else Presence.MISSING
    return {name: lacking if name in missing else Presence.PRESENT for name in DRIVERS}


def _entries(tree: Tree) -> BootEntries | None:
    """GRUB's entries by the Boot Loader Specification; None when it does not use them, or /boot cannot be read.

    systemd-boot has such entries too, but chooses among them by itself.
    """
    names = tree.names("/boot/loader/entries")
    entries = tuple(name.removesuffix(".conf") for name in names or () if name.endswith(".conf"))
    uses = b"blscfg" in tree.content("/boot/grub2/grub.cfg", 0, 1 << 17, needed=False)[1]
    if not entries and not uses:
        return None
    saved = _saved_entry(tree)
    if not uses and saved == "" and tree.has("/boot/grub2", "/boot/grub", *_GRUB_ON_ESP) is Presence.MISSING:
        return None
    return BootEntries(entries, saved if names is not None else None)


def _saved_entry(tree: Tree) -> str | None:
    """GRUB's default by its environment block, "" when that has none; None when it cannot be read."""
    paths = ["/boot/grub2/grubenv", "/boot/grub/grubenv"]
    paths += [f"/boot/efi/EFI/{name}/grubenv" for name in tree.names("/boot/efi/EFI") or ()][:8]
    for path in paths:
        presence, text = tree.text(path, 4096, needed=False)
        folder, _, name = path.rpartition("/")
        if presence is Presence.MISSING and name in (tree.names(folder) or ()):
            tree.miss(path, "it leads to where nothing was found")
            presence = Presence.UNKNOWN
        if presence is Presence.UNKNOWN:
            return None
        if presence is Presence.PRESENT:
            lines = (line.partition("=") for line in text.splitlines())
            saved = (value for key, _, value in lines if key == "saved_entry")
            return next(saved, "").strip().removesuffix(".conf")
    return "" if tree.has(paths[0]) is Presence.MISSING else None


def grub_configs(tree: Tree, volume: str) -> tuple[GrubConfig, ...]:
    """The boot loader configurations on one file system; a link and its target count once."""
    found: dict[str, GrubConfig] = {}
    for name in _GRUB:
        for path in (f"/boot/{name}", f"/{name}"):
            presence, data = tree.content(path, 0, 1 << 19, needed=False)
            if presence is Presence.PRESENT:
                real = tree.real(path) or path
                found[real] = GrubConfig(volume, real, hashlib.sha256(data).hexdigest())
    return tuple(found.values())


def _sshd_enabled(tree: Tree) -> Presence:
    found = tree.has(*_SSHD_WANTED)
    if found is not Presence.MISSING:
        return found
    for folder in _RUN_LEVELS:
        if any(re.match(r"S\d+ssh", name) for name in tree.names(folder) or ()):
            return Presence.PRESENT
    return found
