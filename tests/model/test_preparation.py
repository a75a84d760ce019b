"""The checklist for the guest, the answer file, and what AWS changes."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model.guest import GuestFacts, LinuxFacts, NicConfig, Presence, Volume, WindowsFacts
from vmie_tui.model.machine import Disk, Firmware, GuestDisk, Machine, Nic, Power
from vmie_tui.model.preparation import (
    Tick,
    after_import,
    checklist,
    modifications,
    seen_on_disk,
    to_markdown,
    unattend_xml,
)

LINUX = Machine(
    "vm-1",
    "web-01",
    guest_id="rhel9_64Guest",
    guest_name="Red Hat Enterprise Linux 9 (64-bit)",
    tools_status="toolsOk",
    power=Power.ON,
    firmware=Firmware.UEFI,
    disks=(Disk(2000, "Hard disk 1", 20 << 30),),
    nics=(Nic("a", dhcp=True),),
    guest_disks=(GuestDisk("/", 20 << 30, 100 << 20),),
)
WINDOWS = replace(
    LINUX,
    guest_id="windows2019srv_64Guest",
    guest_name="Microsoft Windows Server 2019 (64-bit)",
    power=Power.OFF,
    guest_disks=(GuestDisk("C:\\", 80 << 30, 3 << 30),),
)


def ticks(machine: Machine, **seen: bool) -> dict[str, Tick]:
    return {item.id: item.tick for item in checklist(machine, seen=seen)}


def test_what_vcenter_shows_is_ticked_and_the_rest_is_not_claimed() -> None:
    found = ticks(LINUX)
    assert {ident for ident, tick in found.items() if tick is Tick.DONE} == {"GP3", "GP4", "GP9", "GP10", "GP11", "GL8"}
    assert {ident for ident, tick in found.items() if tick is Tick.OPEN} == {"GP2", "GP5", "GL10"}
    assert found["GL1"] is found["GP1"] is Tick.UNSEEN


def test_what_our_own_client_does_is_not_asked_of_the_user() -> None:
    assert not {"GP6", "GL7", "GL16"} & {*ticks(WINDOWS), *ticks(LINUX)}


def test_each_system_has_its_own_lines() -> None:
    assert not {ident for ident in ticks(WINDOWS) if ident.startswith("GL")}
    assert not {ident for ident in ticks(LINUX) if ident.startswith("GW")}
    assert "GL12" in ticks(LINUX) and "GL12" not in ticks(replace(LINUX, firmware=Firmware.BIOS))
    assert "GW8" not in ticks(WINDOWS)
    assert "GW8" in ticks(replace(WINDOWS, guest_name="Microsoft Windows Server 2008 R2 (64-bit)"))
    assert "GW10" not in ticks(
        replace(WINDOWS, guest_id="windows9_64Guest", guest_name="Microsoft Windows 10 (64-bit)")
    )


def test_a_page_file_that_cannot_be_seen_is_not_ticked_by_free_space_alone() -> None:
    assert ticks(WINDOWS)["GW11"] is Tick.OPEN
    roomy = replace(WINDOWS, guest_disks=(GuestDisk("C:\\", 80 << 30, 30 << 30),))
    assert ticks(roomy)["GW11"] is Tick.UNSEEN


def test_what_was_seen_on_the_disk_goes_first() -> None:
    found = ticks(LINUX, GP4=False, GL1=True)
    assert found["GP4"] is Tick.OPEN and found["GL1"] is Tick.DONE


def test_a_look_into_linux_settles_what_it_read() -> None:
    linux = LinuxFacts(
        "sda2",
        elf="x86_64",
        dhcp=Presence.PRESENT,
        sshd=Presence.PRESENT,
        sshd_enabled=Presence.UNKNOWN,
        nics=(NicConfig("50-cloud-init.yaml", "ens192", False),),
        free=1 << 30,
    )
    guest = GuestFacts(volumes=(Volume("sda2", "xfs", 1 << 30),), roots=("sda2",), linux=linux)
    assert seen_on_disk(guest) == {"GP4": True, "GL5": True, "GL6": False, "GL8": True, "GL10": True}
    secret = replace(guest, volumes=(*guest.volumes, Volume("sda3", "luks", 1 << 30)))
    assert seen_on_disk(secret)["GP8"] is False


def test_a_look_into_windows_settles_what_it_read() -> None:
    windows = WindowsFacts("sda2", rdp_denied=True, hyper_v=False, paging=("?:\\pagefile.sys",), free=1 << 30)
    assert seen_on_disk(GuestFacts(windows=windows)) == {"GW1": False, "GW13": True, "GW11": False}
    partly = replace(windows, paging=("c:\\pagefile.sys 1 1",), free_at_least=True)
    assert "GW11" not in seen_on_disk(GuestFacts(windows=partly))
    assert seen_on_disk(GuestFacts()) == {}


def test_markdown_holds_every_line_with_its_box() -> None:
    items = checklist(LINUX)
    text = to_markdown(replace(LINUX, name="a*b\n# c"), items)
    assert text.count("\n- [x] ") == sum(item.tick is Tick.DONE for item in items)
    assert text.count("\n- [ ] ") == sum(item.tick is not Tick.DONE for item in items)
    assert text.startswith("# Before the import of a\\*b \\# c\n")
    assert "cannot be seen from here" in text and "EFI/BOOT" not in text.partition("After the import")[2]


@given(st.text(max_size=60))
def test_no_name_breaks_the_markdown(name: str) -> None:
    text = to_markdown(replace(LINUX, name=name), ())
    assert text.count("\n# ") == 0 and text.count("\n## ") == 2


@pytest.mark.parametrize("machine", [LINUX, WINDOWS])
def test_words_are_free_of_the_numbers_of_editions(machine: Machine) -> None:
    words = [item.words + item.note for item in checklist(machine)] + [*modifications(machine), *after_import(machine)]
    assert not [text for text in words if any(edition in text for edition in ("000", "001", "002", "003", "004"))]


def test_what_aws_changes_is_said_for_the_system_at_hand() -> None:
    assert any("fstab" in text for text in modifications(LINUX))
    assert not any("registry" in text for text in modifications(LINUX))
    assert not any("SR-IOV" in text for text in modifications(WINDOWS))
    r2 = replace(WINDOWS, guest_name="Microsoft Windows Server 2012 R2 (64-bit)")
    assert any("SR-IOV" in text for text in modifications(r2))
    assert not any(text.startswith("Windows:") for text in after_import(LINUX))


@pytest.mark.parametrize("architecture", ["amd64", "x86"])
def test_the_answer_file_is_what_sysprep_reads(architecture: str) -> None:
    root = ET.fromstring(unattend_xml(architecture))
    space = "{urn:schemas-microsoft-com:unattend}"
    assert root.tag == f"{space}unattend"
    assert 'xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State"' in unattend_xml(architecture)
    settings = root.find(f"{space}settings")
    assert settings is not None and settings.get("pass") == "oobeSystem"
    assert {part.get("processorArchitecture") for part in settings} == {architecture}
    assert [part.get("name") for part in settings] == [
        "Microsoft-Windows-International-Core",
        "Microsoft-Windows-Shell-Setup",
    ]
    assert {item.text for item in settings[0]} == {"en-US"}
    assert {item.tag.removeprefix(space): item.text for item in settings[1][0]} == dict.fromkeys(
        ("HideEULAPage", "SkipMachineOOBE", "SkipUserOOBE"), "true"
    )


@pytest.mark.parametrize(("architecture", "locale"), [("arm64", "en-US"), ("amd64", "<x>"), ("", "en-US")])
def test_an_answer_file_for_nothing_known_is_refused(architecture: str, locale: str) -> None:
    with pytest.raises(ValueError):
        unattend_xml(architecture, locale)
