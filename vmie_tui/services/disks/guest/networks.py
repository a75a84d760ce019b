"""The network interfaces that a guest's configuration names, and which of them have an IPv4 address set by hand.

Every format by its own rules: netplan and cloud-init as YAML, keyfiles and systemd's as ini, ifcfg as the shell's
assignments, /etc/network/interfaces with all that it sources. All of it is text from a stranger: YAML is composed into
nodes and no more, with a limit on what its aliases expand to, and no expression here can go back over a line's end.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from typing import Any
from xml.parsers import expat

import yaml

from vmie_tui.model.guest import NicConfig, Presence
from vmie_tui.services.disks.guest.tree import Tree
from vmie_tui.services.disks.guest.yal import DamagedError, parsing

_MOST_FILES, _MOST_NICS, _MAX_TEXT = 16, 64, 32 << 10
_MAX_NAME = 64  # characters; the kernel takes 15
_MOST_VALUES, _DEEPEST = 10_000, 20  # of a YAML document, aliases followed
_SOURCES = 8  # how deeply one file of interfaces may source another
_PLAN_KINDS = (
    "ethernets", "wifis", "modems", "bonds", "bridges", "vlans", "tunnels", "vrfs", "dummy-devices",
    "virtual-ethernets",
)  # fmt: skip
_IFCFG_LEFT = (
    "~",
    ".bak",
    ".old",
    ".orig",
    ".rpmnew",
    ".rpmorig",
    ".rpmsave",
    ".bkup",
    ".augnew",
    ".augtmp",
    ".template",
)

Nics = list[tuple[str, bool]]  # (interface, has it an address set by hand)


def read_networks(tree: Tree) -> tuple[NicConfig, ...]:
    """The interfaces that configuration files name; a file that cannot be understood is noted as not inspected."""
    found: list[NicConfig] = []
    for file, nics in _files(tree):
        found += [NicConfig(file, name[:_MAX_NAME], static) for name, static in nics]
        if len(found) >= _MOST_NICS:
            tree.miss("further network files", f"more than {_MOST_NICS} interfaces were found before")
            break
    return tuple(nic for nic in found if nic.name != "lo" and not nic.name.startswith("lo:"))


def _files(tree: Tree) -> Iterator[tuple[str, Nics]]:
    yield from _ifupdown(tree, "/etc/network/interfaces", _SOURCES, set())
    for folder, wanted, read in (
        ("/etc/netplan", lambda name: name.endswith((".yaml", ".yml")), netplan),
        ("/etc/cloud/cloud.cfg.d", lambda name: name.endswith(".cfg"), cloud_init),
        ("/etc/sysconfig/network-scripts", _is_ifcfg, ifcfg),
        ("/etc/sysconfig/network", _is_ifcfg, ifcfg),
        ("/etc/wicked/ifconfig", lambda name: name.endswith(".xml"), wicked),
        ("/etc/NetworkManager/system-connections", lambda name: not name.startswith("."), keyfile),
    ):
        yield from _folder(tree, folder, wanted, read)
    yield from _networkd(tree, "/etc/systemd/network")


def _folder(
    tree: Tree, folder: str, wanted: Callable[[str], bool], read: Callable[[str, str], Nics]
) -> Iterator[tuple[str, Nics]]:
    for name in sorted(filter(wanted, tree.names(folder) or ()))[:_MOST_FILES]:
        text = _text(tree, f"{folder}/{name}")
        if text is None:
            continue
        try:
            with parsing("it"):
                nics = read(name, text)
        except DamagedError as error:
            tree.miss(f"{folder}/{name}", error.problem.what)
            continue
        yield f"{folder}/{name}", nics


def _text(tree: Tree, path: str) -> str | None:
    presence, text = tree.text(path, _MAX_TEXT + 1)
    if presence is not Presence.PRESENT:
        return None
    if len(text) > _MAX_TEXT:
        tree.miss(path, f"it is longer than {_MAX_TEXT >> 10} KiB")
        return None
    return text


def _by_hand(address: str) -> bool:
    """Whether this is a static IPv4 address."""
    return "." in address and ":" not in address and not address.startswith(("127.", "169.254.", "0.0.0.0"))  # noqa: S104


# ---- YAML


def plain(text: str) -> Any:
    """A YAML document as dictionaries, lists and strings. Raises `DamagedError` for what is none, or expands too far.

    Nothing is constructed, so that no tag can do anything; each visit of a node counts, also through an alias.
    """
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DamagedError("it is no valid YAML" + (f" (line {mark.line + 1})" if mark else "")) from error
    except RecursionError as error:
        raise DamagedError("its YAML is nested too deeply") from error
    return _value(node, [_MOST_VALUES], 0)


def _value(node: yaml.Node | None, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > _DEEPEST:
        raise DamagedError("its YAML expands to too much, or is nested too deeply")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, value = _value(key_node, left, depth + 1), _value(value_node, left, depth + 1)
            if key == "<<":
                for part in value if isinstance(value, list) else [value]:
                    merged = {**(part if isinstance(part, dict) else {}), **merged}
            elif isinstance(key, str):
                found[key] = value
        return {**merged, **found}
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, left, depth + 1) for item in node.value]
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _section(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def netplan(_: str, text: str) -> Nics:
    """A file of netplan. The interface is the one that ``match`` and ``set-name`` name, else the entry's own name."""
    return _planned(_section(plain(text), "network"))


def _planned(network: dict[str, Any]) -> Nics:
    nics: Nics = []
    for kind in _PLAN_KINDS:
        for ident, given in _section(network, kind).items():
            settings = given if isinstance(given, dict) else {}
            match = _section(settings, "match")
            names = _items(settings.get("set-name")) or _items(match.get("name")) or [ident]
            addresses = _items(settings.get("addresses"))
            # An address with options is a mapping of the address to them.
            flat = [str(item) for each in addresses for item in (each if isinstance(each, dict) else [each])]
            nics += [(str(name), any(map(_by_hand, flat))) for name in names]
    return nics


def cloud_init(_: str, text: str) -> Nics:
    """A file of cloud-init: its ``network`` in version 1, or 2, which is netplan's."""
    if "network:" not in text:
        return []
    network = _section(plain(text), "network")
    nics: Nics = []
    for device in _items(network.get("config")):
        if not isinstance(device, dict) or device.get("type") in {"nameserver", "route"} or not device.get("name"):
            continue
        subnets = [subnet for subnet in _items(device.get("subnets")) if isinstance(subnet, dict)]
        static = any(_by_hand(str(subnet.get("address", ""))) for subnet in subnets)
        nics.append((str(device["name"]), static))
    return nics + _planned(network)


# ---- ini and the shell's assignments


def ini(text: str) -> dict[str, dict[str, list[str]]]:
    """{section: {key: values}} of a keyfile or a unit of systemd, sections and keys in lower case.

    Blanks around ``=`` do not count; a line that ends in a backslash goes on; ``#`` and ``;`` begin a comment.
    """
    found: dict[str, dict[str, list[str]]] = {}
    section = found.setdefault("", {})
    for line in _lines(text):
        if line.startswith("[") and line.endswith("]"):
            section = found.setdefault(line[1:-1].strip().lower(), {})
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            section.setdefault(key.strip().lower(), []).append(value.strip())
    return found


def _lines(text: str) -> Iterator[str]:
    """Lines without blanks around them, those that end in a backslash joined with the next; no comments inside."""
    parts: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if parts and line.startswith(("#", ";")):
            continue
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        yield " ".join((*parts, line)).strip()
        parts = []
    if parts:
        yield " ".join(parts).strip()


def assignments(text: str) -> dict[str, str]:
    """{name: value} of ``NAME="value"  # comment`` lines, as the shell reads them, as far as they are plain."""
    found = {}
    for raw in text.splitlines():
        line = raw.strip().removeprefix("export ").lstrip()
        name, sign, value = line.partition("=")
        if sign and name.isidentifier():
            found[name] = _shell_value(value.strip())
    return found


def _shell_value(value: str) -> str:
    if value[:1] in {'"', "'"}:
        return value[1:].split(value[0], 1)[0]
    return value.split("#", 1)[0].split(None, 1)[0] if value.split("#", 1)[0].strip() else ""


def keyfile(name: str, text: str) -> Nics:
    """A connection of NetworkManager."""
    found = ini(text)
    ipv4 = found.get("ipv4", {})
    by_name = found.get("connection", {}).get("interface-name") or found.get("match", {}).get("interface-name")
    nics = [nic for nic in (by_name or [""])[-1].replace(";", " ").split() if nic] or [name]
    addresses = [
        part for key, values in ipv4.items() if key.startswith("address") for value in values for part in _apart(value)
    ]
    static = ipv4.get("method", [""])[-1] == "manual" or any(map(_by_hand, addresses))
    return [(nic, static) for nic in nics]


def _apart(value: str) -> list[str]:
    return value.replace(";", " ").replace(",", " ").split()


def _is_ifcfg(name: str) -> bool:
    return name.startswith("ifcfg-") and not name.endswith(_IFCFG_LEFT)


def ifcfg(name: str, text: str) -> Nics:
    """A file of network-scripts or of wicked, ``ifcfg-NAME``."""
    found = assignments(text)
    mode = found.get("BOOTPROTO", "").lower()
    addresses = [value for key, value in found.items() if key.startswith("IPADDR")]
    return [(found.get("DEVICE") or name.removeprefix("ifcfg-"), mode == "static" or any(map(_by_hand, addresses)))]


def _networkd(tree: Tree, folder: str) -> Iterator[tuple[str, Nics]]:
    names = tree.names(folder) or ()
    for name in sorted(name for name in names if name.endswith(".network"))[:_MOST_FILES]:
        texts = [_text(tree, f"{folder}/{name}")]
        if f"{name}.d" in names:
            more = sorted(each for each in tree.names(f"{folder}/{name}.d") or () if each.endswith(".conf"))
            texts += [_text(tree, f"{folder}/{name}.d/{each}") for each in more[:_MOST_FILES]]
        yield f"{folder}/{name}", networkd(name, "\n".join(text for text in texts if text))


def networkd(name: str, text: str) -> Nics:
    """A .network unit with its drop-ins: ``Name`` may list several interfaces, with * in them."""
    found = ini(text)
    match = found.get("match", {})
    names = [nic for value in _since_reset(match.get("name", [])) for nic in value.split() if not nic.startswith("!")]
    addresses = [
        *_since_reset(found.get("network", {}).get("address", [])),
        *found.get("address", {}).get("address", []),
    ]
    static = any(map(_by_hand, addresses))
    return [(nic, static) for nic in names or [name]]


def _since_reset(values: list[str]) -> list[str]:
    """An assignment of nothing takes back those before it, as drop-ins do."""
    return values[len(values) - values[::-1].index("") :] if "" in values else values


# ---- ifupdown


def _ifupdown(tree: Tree, path: str, deep: int, seen: set[str]) -> Iterator[tuple[str, Nics]]:
    """A file of interfaces and those that it sources, each once."""
    if path in seen or len(seen) >= _MOST_FILES or not deep:
        return
    seen.add(path)
    presence, text = tree.text(path, _MAX_TEXT, needed=False)
    if presence is not Presence.PRESENT:
        return
    yield path, interfaces(text)
    for line in _lines(text):
        words = line.split()
        if len(words) < 2 or words[0] not in {"source", "source-directory"}:
            continue
        for pattern in words[1:]:
            wanted = pattern if pattern.startswith("/") else f"{path.rpartition('/')[0]}/{pattern}"
            for file in _matching(tree, wanted, folder=words[0] == "source-directory"):
                yield from _ifupdown(tree, file, deep - 1, seen)


def _matching(tree: Tree, pattern: str, *, folder: bool) -> list[str]:
    """The files of a shell pattern, or those in the folders of a pattern whose names ifupdown takes."""
    places = [""]
    for part in [part for part in pattern.split("/") if part]:
        if any(letter in part for letter in "*?["):
            places = [f"{place}/{name}" for place in places for name in _globbed(tree, place or "/", part)][
                :_MOST_FILES
            ]
        else:
            places = [f"{place}/{part}" for place in places]
    if not folder:
        return places
    return [
        f"{place}/{name}"
        for place in places
        for name in sorted(tree.names(place) or ())
        if name.replace("-", "").replace("_", "").isalnum()
    ][:_MOST_FILES]


def _globbed(tree: Tree, place: str, part: str) -> list[str]:
    names = [name for name in tree.names(place) or () if not name.startswith(".") or part.startswith(".")]
    return sorted(fnmatch.filter(names, _bounded(part)))


def _bounded(part: str) -> str:
    """A pattern with few stars: each further one makes a comparison longer."""
    return part if part.count("*") <= 4 and len(part) <= 256 else "*"


def interfaces(text: str) -> Nics:
    """The stanzas of one file: ``iface NAME inet static``, and ifupdown2's without a method but with an address."""
    nics: Nics = []
    open_stanza = False
    for line in _lines(text):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "iface" and len(words) > 1:
            name = words[1].split(":", 1)[0]
            family, method = (*words[2:4], "", "")[:2]
            open_stanza = family in {"", "inherits"} or (family == "inet" and method in {"", "manual", "auto"})
            if family in {"", "inet", "inherits"}:
                nics.append((name, method == "static"))
        elif words[0] in {"auto", "mapping", "source", "source-directory", "template"} or words[0].startswith("allow-"):
            open_stanza = False
        elif words[0] == "address" and len(words) > 1 and open_stanza and nics:
            nics[-1] = (nics[-1][0], nics[-1][1] or _by_hand(words[1]))
    return nics


# ---- wicked's own files


def wicked(_: str, text: str) -> Nics:
    """``<interface><name>eth0</name><ipv4:static><address><local>192.0.2.1/24</local>``; no document type is taken."""
    if "<!" in text.replace("<!--", ""):
        raise DamagedError("it declares a document type")
    start = text.find("?>") + 2 if text.lstrip().startswith("<?xml") else 0
    reader, path, nics = expat.ParserCreate(), list[str](), Nics()

    def begin(tag: str, _: dict[str, str]) -> None:
        path.append(tag)
        if len(path) > _DEEPEST:
            raise DamagedError("it is nested too deeply")
        if tag == "interface":
            nics.append(("", False))

    def end(_: str) -> None:
        path.pop()

    def data(value: str) -> None:
        value = value.strip()
        if not nics or not value:
            return
        if path[-2:] == ["interface", "name"]:
            nics[-1] = (nics[-1][0] + value, nics[-1][1])
        elif path[-1] == "local" and "ipv4:static" in path:
            nics[-1] = (nics[-1][0], nics[-1][1] or _by_hand(value))

    reader.StartElementHandler, reader.EndElementHandler, reader.CharacterDataHandler = begin, end, data
    reader.buffer_text = True
    try:
        reader.Parse(f"<config>{text[start:]}</config>", True)
    except expat.ExpatError as error:
        raise DamagedError(f"it is no valid XML (line {error.lineno})") from error
    return [(name, static) for name, static in nics if name]
