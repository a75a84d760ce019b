"""What VM import looks for in a Linux system."""

from __future__ import annotations

import hashlib
import re
import struct

from vmie_tui.model.guest import BootEntries, FstabLine, GrubConfig, Kernel, LinuxFacts, NicConfig, Presence
from vmie_tui.services.disks.guest.tree import Tree

DRIVERS = ("nvme", "ena", "xen-blkfront")
_GRUB = ("grub/grub.cfg", "grub2/grub.cfg", "grub/grub.conf", "grub/menu.lst")
_KERNEL = re.compile(r"vmlinu[xz]-(?!0-rescue)(.+)")
_RAMDISKS = ("initrd.img-{0}", "initramfs-{0}.img", "initrd-{0}", "initrd-{0}.img", "initramfs-{0}")
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
_MOST_KERNELS, _MOST_NICS = 8, 32
_PIECE, _MAX_MODULES = 256 << 10, 1536 << 10


def inspect_linux(tree: Tree, volume: str, free: int | None, grub: tuple[GrubConfig, ...]) -> LinuxFacts:
    """Everything that is looked for below one root, the cheap and decisive things first."""
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
        nics=_nics(tree),
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
        found = dict(re.findall(r"^([A-Z_]+)=[\"']?(.*?)[\"']?$", text, re.MULTILINE))
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
    """The processor that programs are for."""
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
        words = text_line.split("#", 1)[0].split() if text_line.lstrip().startswith("#") else text_line.split()
        if not words:
            continue
        problem = ""
        if len(words) < 3:
            problem = f"it has {len(words)} of at least 3 fields"
        elif not (words[1].startswith("/") or words[1] in {"none", "swap"}):
            problem = "its second field is no mount point"
        spec, mount, kind = (*words[:3], "", "", "")[:3]
        lines.append(FstabLine(number, text_line.strip()[:200], spec, mount, kind, problem))
    return presence, tuple(lines)


def _kernels(tree: Tree) -> tuple[Kernel, ...] | None:
    names = tree.names("/boot")
    if names is None:
        return None
    versions = {match[1]: name for name in names if (match := _KERNEL.fullmatch(name))}
    newest = sorted(versions, key=_version_key, reverse=True)[:_MOST_KERNELS]
    return tuple(_kernel(tree, version, versions[version], set(names), number) for number, version in enumerate(newest))


def _version_key(version: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.\-_+]", version))


def _kernel(tree: Tree, version: str, name: str, names: set[str], number: int) -> Kernel:
    modules = tree.has(f"/lib/modules/{version}/modules.dep")
    ramdisk = next((found for form in _RAMDISKS if (found := form.format(version)) in names), None)
    presence, kind = Presence.UNKNOWN, None
    if ramdisk is None:
        presence = tree.has(f"/boot/{_RAMDISKS[0].format(version)}")
    else:
        presence, head = tree.content(f"/boot/{ramdisk}", 0, 8)
        if presence is Presence.PRESENT:
            kind = next((label for magic, label in _FORMATS if head.startswith(magic)), "")
    drivers = _drivers(tree, version) if not number and modules is Presence.PRESENT else {}
    return Kernel(version, f"/boot/{name}", presence, f"/boot/{ramdisk}" if ramdisk else "", kind, modules, drivers)


def _drivers(tree: Tree, version: str) -> dict[str, Presence]:
    """Which of the drivers EC2 needs the kernel has, as modules or built in; stops reading when all were seen."""
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
    """Boot Loader Specification entries; None when the boot loader does not use them."""
    names = tree.names("/boot/loader/entries")
    entries = tuple(name.removesuffix(".conf") for name in names or () if name.endswith(".conf"))
    uses = b"blscfg" in tree.content("/boot/grub2/grub.cfg", 0, 1 << 17, needed=False)[1]
    if not entries and not uses:
        return None
    presence, text = tree.text("/boot/grub2/grubenv", 4096)
    if presence is Presence.UNKNOWN:
        return BootEntries(entries, None)
    saved = re.search(r"^saved_entry=(.*)$", text, re.MULTILINE)
    return BootEntries(entries, saved[1].strip().removesuffix(".conf") if saved else "")


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


def _nics(tree: Tree) -> tuple[NicConfig, ...]:
    """The interfaces that configuration files name."""
    found: list[NicConfig] = []
    _, text = tree.text("/etc/network/interfaces", needed=False)
    for name, method in re.findall(r"^[ \t]*iface[ \t]+(\S+)[ \t]+inet[ \t]+(\S+)", text, re.MULTILINE):
        found.append(NicConfig("/etc/network/interfaces", name, method == "static"))
    for folder, pattern, kind in (
        ("/etc/netplan", r".+\.yaml", "netplan"),
        ("/etc/sysconfig/network-scripts", r"ifcfg-[^.]+", "ifcfg"),
        ("/etc/sysconfig/network", r"ifcfg-[^.]+", "ifcfg"),
        ("/etc/NetworkManager/system-connections", r".+", "keyfile"),
        ("/etc/systemd/network", r".+\.network", "networkd"),
    ):
        for name in [name for name in tree.names(folder) or () if re.fullmatch(pattern, name)][:_MOST_NICS]:
            _, text = tree.text(f"{folder}/{name}", 16384)
            found += [NicConfig(f"{folder}/{name}", nic, static) for nic, static in _interfaces(kind, name, text)]
    return tuple(nic for nic in found if not nic.name.startswith("lo"))


def _interfaces(kind: str, name: str, text: str) -> list[tuple[str, bool]]:
    """(interface, has it a static address) in one file."""
    if kind == "netplan":
        nics = re.findall(r"^ {4}([\w.-]+):\s*$", text, re.MULTILINE)
        static = bool(re.search(r"^[ \t]*addresses:", text, re.MULTILINE))
        return [(nic, static) for nic in nics]
    if kind == "ifcfg":
        match = re.search(r"^DEVICE=[\"']?([^\"'\s]+)", text, re.MULTILINE)
        mode = re.search(r"^BOOTPROTO=[\"']?(\w*)", text, re.MULTILINE)
        address = bool(re.search(r"^IPADDR\d*=[\"']?[\d.]+", text, re.MULTILINE))
        return [(match[1] if match else name[6:], bool(mode and mode[1] == "static") or address)]
    if kind == "keyfile":
        match = re.search(r"^interface-name=(\S+)", text, re.MULTILINE)
        section = re.search(r"^\[ipv4\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
        return [(match[1] if match else name, bool(section and re.search(r"^method=manual", section[1], re.MULTILINE)))]
    nics = re.findall(r"^Name=(\S+)", text, re.MULTILINE) or [name]
    static = bool(re.search(r"^Address=", text, re.MULTILINE))
    return [(nic, static) for nic in nics]
