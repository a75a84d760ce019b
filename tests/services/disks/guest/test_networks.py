"""Network configuration of guests: each format by its own rules, and nothing that a stranger's file can hold up."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.kits.guest_files import tree
from vmie_tui.services.disks.guest.networks import (
    cloud_init,
    ifcfg,
    ini,
    interfaces,
    keyfile,
    netplan,
    networkd,
    plain,
    read_networks,
    wicked,
)
from vmie_tui.services.disks.guest.yal import DamagedError

A = "192.0.2.10/24"


def laughs(form: str) -> str:
    """Eight lists, each of nine aliases of the one before."""
    return "".join(form.format(",".join(["*" + old] * 9), new) for old, new in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    ("text", "nics"),
    [
        ("  ethernets:\n    ens1:\n      dhcp4: true\n      nameservers:\n        addresses: [192.0.2.1]\n", "ens1"),
        (f"    ethernets:\n        ens160:\n            addresses:\n            - {A}\n", "ens160*"),
        (f"  ethernets:\n    ens1: {{dhcp4: true}}\n    ens2:\n      addresses: [{A}]\n", "ens1 ens2*"),
        (f"  ethernets:\n    ens1: # lan\n      addresses: ['{A}']\n", "ens1*"),
        (f'  ethernets:\n    "ens1":\n      addresses: ["{A}"]\n', "ens1*"),
        (f"  ethernets: {{ens1: {{addresses: [{A}]}}}}\n", "ens1*"),
        (f"  ethernets:\n    ens1:\n      addresses:\n        - {A}: {{lifetime: 0}}\n", "ens1*"),
        ("  ethernets:\n    lan:\n      match: {macaddress: '00:50:56:00:00:01'}\n      set-name: ens192\n", "ens192"),
        ("  ethernets:\n    any:\n      match:\n        name: en*\n      dhcp4: yes\n", "en*".replace("*", "?")),
        (f"  ethernets:\n    eth0: {{}}\n  bonds:\n    b0: {{interfaces: [eth0], addresses: [{A}]}}\n", "eth0 b0*"),
        ("  ethernets:\n    eth0:\n      addresses: ['2001:db8::1/64']\n", "eth0"),
        ("  ethernets:\n    eth0:\n      routes: [{to: default, via: 192.0.2.1}]\n      dhcp4: true\n", "eth0"),
        (f"  ethernets:\n    eth0: &a {{addresses: [{A}]}}\n    eth1: *a\n    eth2: {{<<: *a}}\n", "eth0* eth1* eth2*"),
        ("  renderer: NetworkManager\n", ""),
        ("  ethernets:\n    eth0:\n", "eth0"),
    ],
)  # fmt: skip
def test_netplan_is_read_as_yaml(text: str, nics: str) -> None:
    found = netplan("x.yaml", "network:\n" + text)
    assert " ".join(name.replace("*", "?") + "*" * static for name, static in found) == nics


@pytest.mark.parametrize(
    "text",
    [
        "network:\n  ethernets:\n   eth0: [\n",
        "network: {a: *nothing}",
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + laughs("{1}: &{1} [{0}]\n"),
        "a: &a {k: v}\n" + laughs("{1}: &{1}\n  <<: [{0}]\n"),
        "[" * 20_000,
        "- " * 20_000,
        "a: &a [*a]\n",
        "\0",
        "a: b\n---\nc: d\n",
    ],
)  # fmt: skip
def test_yaml_that_is_none_or_expands_too_far_is_refused_at_once(text: str) -> None:
    with pytest.raises(DamagedError):
        plain(text)


def test_no_tag_makes_anything() -> None:
    assert plain("a: !!python/object/apply:os.system [x]\nb: !!int 5\nc: 2024-01-01\n") == {
        "a": ["x"], "b": "5", "c": "2024-01-01",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "nics"),
    [
        (
            "network:\n  version: 1\n  config:\n  - type: physical\n    name: ens3\n"
            f"    subnets:\n    - {{type: static, address: {A}}}\n  - {{type: nameserver, address: [192.0.2.1]}}\n",
            [("ens3", True)],
        ),
        ("network:\n  config:\n  - type: physical\n    name: e0\n    subnets: [{type: dhcp4}]\n", [("e0", False)]),
        (f"network:\n  version: 2\n  ethernets:\n    ens3:\n      addresses: [{A}]\n", [("ens3", True)]),
        ("network: {config: disabled}\n", []),
        ("#cloud-config\nusers: []\n", []),
        ("users: [\n", []),
    ],
)  # fmt: skip
def test_cloud_init(text: str, nics: list[tuple[str, bool]]) -> None:
    assert cloud_init("x.cfg", text) == nics


@pytest.mark.parametrize(
    ("read", "text", "nics"),
    [
        (keyfile, "[connection]\ninterface-name = ens192\n[ipv4]\nmethod = manual\n", [("ens192", True)]),
        (keyfile, "[connection]\ninterface-name=eth0\n\n[ipv4]\n; method=manual\nmethod=auto\n", [("eth0", False)]),
        (keyfile, f"[connection]\nid=a\n[ipv4]\nmethod=auto\naddress1={A},192.0.2.1\n", [("x", True)]),
        (keyfile, "[ipv4]\nmethod=auto\ndns=192.0.2.1;\n[ipv6]\nmethod=manual\n", [("x", False)]),
        (keyfile, "[match]\ninterface-name=eth0;eth1;\n[ipv4]\nmethod=manual\n", [("eth0", True), ("eth1", True)]),
        (networkd, f"[Match]\nName = ens192\n[Network]\nAddress = {A}\n", [("ens192", True)]),
        (networkd, f"[Match]\nName=eth0 eth1\n\n[Address]\nLabel=x\nAddress={A}\n", [("eth0", True), ("eth1", True)]),
        (networkd, "[Match]\nName=en*\n[Network]\nDHCP=yes\nDNS=192.0.2.1\n", [("en*", False)]),
        (networkd, "[Match]\nMACAddress=00:50:56:00:00:01\n[Network]\nDHCP=yes\n", [("x", False)]),
        (networkd, f"[Match]\nName=eth0\n[Network]\nAddress={A}\n[Network]\nAddress=\nDHCP=yes\n", [("eth0", False)]),
        (networkd, f"[Match]\nName=eth0\n[Network]\nAddress=\nAddress={A}\n", [("eth0", True)]),
        (networkd, f"[Match]\nName=eth0\n[Network]\n#Address={A}\nDHCP=ipv4\n", [("eth0", False)]),
        (networkd, f"[Match]\nName=\\\n  eth0\n[Network]\nAddress=\\\n  {A}\n", [("eth0", True)]),
        (ifcfg, 'DEVICE="ens192" # lan\nBOOTPROTO=none\nIPADDR="192.0.2.10"\n', [("ens192", True)]),
        (ifcfg, "BOOTPROTO='dhcp'\nDNS1=192.0.2.1\n#IPADDR=192.0.2.10\n", [("x", False)]),
        (ifcfg, "BOOTPROTO='static'\nIPADDR='192.0.2.10/24'\nIPADDR_1='192.0.2.11/24'\n", [("x", True)]),
        (ifcfg, "  DEVICE=eth0.100\n  VLAN=yes\n  IPADDR0=192.0.2.1\n", [("eth0.100", True)]),
        (ifcfg, "DEVICE=\nIPADDR=\n", [("x", False)]),
        (
            wicked,
            f"<interface><name>e0</name><ipv4:static><local>{A}</local></ipv4:static></interface>",
            [("e0", True)],
        ),
        (wicked, "<?xml version='1.0'?><!--x--><interface>\n <name>e1</name><ipv4:dhcp/></interface>", [("e1", False)]),
    ],
)  # fmt: skip
def test_files_of_keys_and_values(read: object, text: str, nics: list[tuple[str, bool]]) -> None:
    assert read("x", text) == nics  # type: ignore[operator]


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE a [<!ENTITY x 'y'>]><interface/>", "<interface>", "<a>" * 5000, "<interface></config>"]
)
def test_xml_of_wicked_that_is_refused(text: str) -> None:
    with pytest.raises(DamagedError):
        wicked("x", text)


@pytest.mark.parametrize(
    ("text", "nics"),
    [
        ("auto ens192\niface ens192 inet static\n  address 192.0.2.10/24\n", [("ens192", True)]),
        ("iface eth0 inet dhcp\niface eth0 inet6 static\n address 2001:db8::1\n", [("eth0", False)]),
        ("iface eth0 \\\n  inet \\\n  static\n", [("eth0", True)]),
        ("iface eth0:1 inet static\n", [("eth0", True)]),
        ("auto eth0\niface eth0\n  address 192.0.2.10/24\n", [("eth0", True)]),
        ("iface eth0 inet manual\niface eth1 inet dhcp\n address 192.0.2.1\n", [("eth0", False), ("eth1", False)]),
        ("# iface ens1 inet static\n  iface\teth0\tinet\tdhcp\n", [("eth0", False)]),
        ("iface br0 inet static # bridge\n", [("br0", True)]),
        ("mapping eth0\n script x\niface\n", []),
    ],
)
def test_stanzas_of_ifupdown(text: str, nics: list[tuple[str, bool]]) -> None:
    assert interfaces(text) == nics


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("source /etc/network/interfaces.d/*", {"ens1", "ens2"}),
        ("source interfaces.d/*", {"ens1", "ens2"}),
        ("source /etc/network/interfaces.d/50*", {"ens1"}),
        ("source /etc/network/interfaces.d/*.cfg", {"ens2"}),
        ("source /etc/net*/inter*.d/50-cloud-init", {"ens1"}),
        ("source-directory /etc/network/interfaces.d", {"ens1"}),
        ("source-directory interfaces.d", {"ens1"}),
        ("source /etc/network/interfaces", set()),
        ("source /nowhere/*\nsource", set()),
        ("source \\\n /etc/network/interfaces.d/50-cloud-init", {"ens1"}),
        ("#source /etc/network/interfaces.d/*", set()),
    ],
)
def test_interfaces_follow_what_they_source(line: str, names: set[str]) -> None:
    files = {
        "/etc/network/interfaces": f"{line}\nauto lo\niface lo inet loopback\niface eth0 inet dhcp\n",
        "/etc/network/interfaces.d/50-cloud-init": "iface ens1 inet static\nsource /etc/network/interfaces\n",
        "/etc/network/interfaces.d/60.cfg": "iface ens2 inet static\n",
    }
    found = read_networks(tree(**files)[0])
    assert {nic.name for nic in found} == {"eth0", *names}
    assert {nic.name for nic in found if nic.static} == names


def test_drop_ins_backups_and_files_that_cannot_be_understood() -> None:
    found, missed = tree(**{
        "/etc/systemd/network/10.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n",
        "/etc/systemd/network/10.network.d/a.conf": f"[Network]\nAddress={A}\n",
        "/etc/sysconfig/network-scripts/ifcfg-eth1.bak": "IPADDR=192.0.2.1\n",
        "/etc/sysconfig/network-scripts/ifcfg-eth0.100": "IPADDR=192.0.2.1\n",
        "/etc/netplan/01.yaml": "network: [\n",
        "/etc/netplan/02.yaml": "network:\n  ethernets:\n    eth9: {dhcp4: true}\n",
        "/etc/netplan/03.yaml": "#" * 70_000,
    })  # fmt: skip
    assert {(nic.name, nic.static) for nic in read_networks(found)} == {
        ("eth0", True), ("eth0.100", True), ("eth9", False),
    }  # fmt: skip
    assert [note.what for note in missed] == ["/etc/netplan/01.yaml", "/etc/netplan/03.yaml"]
    assert "line" in missed[0].why


def test_ini_of_systemd_and_networkmanager() -> None:
    text = "a=0\n[One]\n Key = x = y \nKey=z\n# c\n; c\n[ two ]\nk=1 \\\n# in between\n2\nbroken\n"
    assert ini(text) == {"": {"a": ["0"]}, "one": {"key": ["x = y", "z"]}, "two": {"k": ["1  2"]}}
