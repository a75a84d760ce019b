"""What is said about a replication before it is made or changed, and how a run chooses what to move of a disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmie_tui.model import facts
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.machine import Backing, Disk, Firmware, Machine, Nic, OsFamily, Power
from vmie_tui.model.plan import FileSource, ImportPlan, LicenseType, Route, TestLaunch, Via, VmSource
from vmie_tui.model.replication import KeptDisk, Replication, Sync
from vmie_tui.model.rules.plan import check_plan
from vmie_tui.model.rules.replication import (
    DiskNow,
    auto_license,
    auto_words,
    check_edit,
    check_replication,
    choose_sync,
    settled,
)
from vmie_tui.model.rules.replication_schedule import DAY, HOUR, age

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741
NOW = 1_790_000_000.0
DISK = Disk(2000, "Hard disk 1", 20 << 30, file_name="[ds] app-01/app-01.vmdk", uuid="u-1")
DEBIAN = Machine(
    "vm-1",
    "app-01",
    power=Power.ON,
    guest_id="debian12_64Guest",
    guest_name="Debian GNU/Linux 12 (64-bit)",
    tools_status="toolsOk",
    disks=(DISK,),
    nics=(Nic("a", dhcp=True),),
    cbt=True,
)
SERVER = replace(DEBIAN, guest_id="windows2019srv_64Guest", guest_name="Microsoft Windows Server 2019 (64-bit)")
CLIENT = replace(DEBIAN, guest_id="windows9_64Guest", guest_name="Microsoft Windows 10 (64-bit)")
STRANGER = replace(DEBIAN, guest_id="otherGuest", guest_name="Other")
PLAN = ImportPlan("p", VmSource("vc", "vm-1", "app-01"), "eu-west-1", "", Route.IMAGE_DIRECT)
SPEC = Replication(PLAN, NOW, 12, keep=5)
ONCE = replace(SPEC, every_hours=0)


def said(machine: Machine = DEBIAN, spec: Replication = SPEC, **known: Any) -> tuple[Finding, ...]:
    return check_replication(spec, machine, **{"now": NOW, **known})


def of(fact: str, *args: Any, **known: Any) -> list[Finding]:
    return [finding for finding in said(*args, **known) if finding.fact == fact]


def only(fact: str, *args: Any, **known: Any) -> Finding:
    found = of(fact, *args, **known)
    assert len(found) == 1, found
    return found[0]


def blockers(*args: Any, **known: Any) -> list[Finding]:
    return [finding for finding in said(*args, **known) if finding.severity is B]


def plan(**change: Any) -> Replication:
    return replace(SPEC, plan=replace(PLAN, **change))


def with_disk(**change: Any) -> Machine:
    return replace(DEBIAN, disks=(replace(DISK, **change),))


# -- a job that nothing stands in the way of


def test_nothing_is_in_the_way_of_a_usual_one() -> None:
    found = said()
    assert not [finding for finding in found if finding.severity > I], found
    assert {"F422", "F423", "trap 21", "F434"} <= {finding.fact for finding in found}


@pytest.mark.parametrize("machine", [DEBIAN, SERVER, CLIENT])
def test_every_finding_names_its_source_and_every_blocker_what_to_do(machine: Machine) -> None:
    """Whatever is wrong at once: no reason without its fact, none without a way out, the worst first."""
    broken = replace(
        machine,
        snapshots=2,
        tools_status="",
        cbt=False,
        encrypted=True,
        disks=(
            replace(DISK, mode="independent_persistent", sharing="sharingMultiWriter", encrypted=True),
            replace(DISK, key=2001, backing=Backing.RDM, datastore_type="vsan"),
        ),
    )
    spec = replace(SPEC, every_hours=25, keep=-1, start=NOW + 31 * DAY, plan=replace(PLAN, encrypted=True))
    known = {"others": 50, "age": age(NOW - 91 * DAY, 0, NOW), "existing": "sms-job-00000001"}
    found = said(broken, spec, **known)
    severities = [finding.severity for finding in found]
    assert severities == sorted(severities, reverse=True)
    ours = [finding for finding in found if finding not in check_plan(settled(spec.plan, broken), broken)]
    assert all(finding.fact for finding in ours), ours
    assert all(finding.remedy for finding in found if finding.severity is B)
    facts_named = {finding.fact for finding in found if finding.severity is B}
    documented = {"F388", "F389", "F424", "F431", "F433", "F436", "F040", "F112", "trap 27", "trap 29"}
    assert documented <= facts_named


# -- the schedule


@given(st.integers(-3, 400))
def test_intervals_of_1_to_24_hours(every: int) -> None:
    found = of("F431", spec=replace(SPEC, every_hours=every))
    assert bool(found) == (every != 0 and not 1 <= every <= 24)
    assert all(finding.severity is B and "1 to 24 hours" in finding.remedy for finding in found)


def test_a_start_at_most_30_days_ahead() -> None:
    most = facts.limit("sms", "schedule_ahead_max_days")["value"] * DAY
    assert not of("F433", spec=replace(SPEC, start=NOW + most))
    late = replace(SPEC, start=NOW + most + 1)
    assert only("F433", spec=late).severity is B
    assert not of("F433", spec=late, begun=True), "a start that was long ago, on a clock that was set back"


def test_how_many_are_kept() -> None:
    assert not of("F436")
    assert only("F436", spec=replace(SPEC, keep=-1)).severity is B
    assert only("F436", spec=replace(SPEC, keep=0)).severity is I
    assert not of("F436", spec=replace(ONCE, keep=0)), "a one-time migration makes one"


# -- what the service counted


def test_50_machines_at_once() -> None:
    most = facts.limit("sms", "concurrent_vm_migrations_per_account")["value"]
    assert not of("F388", others=most - 1)
    refused = only("F388", others=most)
    assert refused.severity is B and "50" in refused.what and refused.remedy


@pytest.mark.parametrize(
    ("passed", "extended", "severity"),
    [(0, 0, None), (82.9, 0, None), (83, 0, W), (89.9, 0, W), (90, 0, B), (200, 0, B), (90, 30, None), (113, 30, W)],
)
def test_the_days_of_a_vm_are_counted_down(passed: float, extended: int, severity: Severity | None) -> None:
    found = of("F389", age=age(NOW - passed * DAY, extended, NOW))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert all("replicate extend" in finding.remedy for finding in found)


def test_days_that_have_not_begun_say_nothing() -> None:
    assert not of("F389", age=age(None, 0, NOW)) and not of("F389")


def test_one_replication_of_a_machine() -> None:
    refused = only("F427", existing="sms-job-00000001")
    assert refused.severity is B and "sms-job-00000001" in refused.what


# -- licence


@pytest.mark.parametrize(
    ("machine", "taken", "words"),
    [
        (DEBIAN, LicenseType.BYOL, "auto: BYOL, the only one there is for Linux"),
        (CLIENT, LicenseType.BYOL, "auto: BYOL, the only one there is for a Windows client"),
        (SERVER, LicenseType.AWS, "auto: a licence of AWS, which bills for it"),
        (STRANGER, None, "auto: nothing says what system it is, AWS decides by what is on the disk"),
    ],
)
def test_auto_is_resolved_and_said(machine: Machine, taken: LicenseType | None, words: str) -> None:
    assert auto_license(machine) is taken and auto_words(machine) == words
    finding = only("F434", machine)
    assert finding.severity is I and finding.what == f"licence {words}"
    assert "LR2" not in {finding.fact for finding in said(machine)}, "auto is a choice, not a missing one"
    assert settled(PLAN, machine).license_type is taken


def test_a_licence_that_was_named_is_judged_as_for_an_import() -> None:
    assert not of("F434", spec=plan(license_type=LicenseType.BYOL))
    assert only("LR3", spec=plan(license_type=LicenseType.AWS)).severity is B, "Linux is BYOL only"
    assert settled(replace(PLAN, license_type=LicenseType.BYOL), SERVER).license_type is LicenseType.BYOL
    assert settled(replace(PLAN, usage_operation="RunInstances:0002"), SERVER).license_type is None


def test_an_unmodified_image_asks_for_no_licence() -> None:
    spec = plan(route=Route.UNMODIFIED, via=Via.EBS)
    assert not of("F434", SERVER, spec) and settled(spec.plan, SERVER).license_type is None
    assert not blockers(SERVER, spec)


# -- the way into AWS


@pytest.mark.parametrize(
    ("change", "possible"),
    [
        ({"route": Route.IMAGE_DIRECT}, True),
        ({"route": Route.UNMODIFIED, "via": Via.EBS}, True),
        ({"route": Route.UNMODIFIED, "via": Via.S3, "bucket": "a-bucket"}, False),
        ({"route": Route.IMAGE, "bucket": "a-bucket"}, False),
        ({"route": Route.SNAPSHOT, "via": Via.EBS}, False),
        ({"route": Route.INSTANCE, "bucket": "a-bucket"}, False),
    ],
)
def test_ways_that_can_be_incremental(change: dict[str, Any], possible: bool) -> None:
    found = of("F386", spec=plan(**change))
    assert bool(found) is not possible
    assert all(finding.severity is B and "image-direct" in finding.remedy for finding in found)


def test_only_machines_in_vcenter() -> None:
    found = blockers(spec=plan(source=FileSource("app-01", ("/images/app-01.vmdk",))))
    assert "only a virtual machine in vCenter can be replicated" in [finding.what for finding in found]


def test_uefi_machines_get_their_platform_named() -> None:
    uefi = replace(DEBIAN, firmware=Firmware.UEFI)
    assert settled(PLAN, uefi).platform == "Linux" and not blockers(uefi)


def test_what_would_happen_with_every_run() -> None:
    launches = only("F233", spec=plan(test_launch=TestLaunch()))
    assert launches.severity is W and "a cutover launches one" in launches.remedy
    copies = only("F436", spec=plan(copy_to=("eu-central-1",)))
    assert copies.severity is W and "own Region" in copies.why


@pytest.mark.parametrize("encrypted", [True, False])
def test_encryption_is_said_to_be_decided_by_the_first_run(encrypted: bool) -> None:
    finding = only("trap 21", spec=plan(encrypted=encrypted))
    assert finding.severity is I and ("not encrypted" in finding.what) is not encrypted


# -- the machine


@pytest.mark.parametrize(("kind", "name"), [("vsan", "vSAN"), ("VVOL", "vVol")])
def test_vsan_and_vvol_are_one_time_only(kind: str, name: str) -> None:
    machine = with_disk(datastore_type=kind)
    refused = only("F424", machine)
    assert refused.severity is B and name in refused.what and "one-time migration" in refused.remedy
    allowed = only("F424", machine, ONCE)
    assert allowed.severity is I and "export lease" in allowed.what
    assert not blockers(machine, ONCE)


@pytest.mark.parametrize("kind", ["VMFS", "NFS", "NFS41", ""])
def test_other_datastores_are_fine(kind: str) -> None:
    assert not of("F424", with_disk(datastore_type=kind))


@pytest.mark.parametrize("power", list(Power))
@pytest.mark.parametrize("spec", [SPEC, ONCE])
def test_independent_disks_are_left_out_of_snapshots(power: Power, spec: Replication) -> None:
    machine = replace(with_disk(mode="independent_persistent"), power=power)
    found = [finding for finding in blockers(machine, spec) if finding.fact == "trap 29"]
    assert [finding.subject for finding in found] == ["Hard disk 1"] and "dependent" in found[0].remedy


def test_shared_disks() -> None:
    assert only("trap 29", with_disk(sharing="sharingMultiWriter")).severity is B
    assert not of("trap 29", with_disk(sharing="sharingNone"))


def test_raw_device_mappings_and_encrypted_machines() -> None:
    assert only("F040", with_disk(backing=Backing.RDM)).severity is B
    assert only("F112", with_disk(encrypted=True)).severity is B
    assert only("F112", replace(DEBIAN, encrypted=True)).severity is B


def test_snapshots_of_others() -> None:
    machine = replace(DEBIAN, snapshots=2)
    refused = only("trap 27", machine)
    assert refused.severity is B and "2 snapshots" in refused.what and "Delete them" in refused.remedy
    assert not blockers(machine, at_work=True), "the run's own snapshot"
    assert only("trap 27", replace(DEBIAN, snapshots=1)).what == "it has 1 snapshot"
    assert not [finding for finding in said(machine) if finding.severity is W], "said once, not twice"


def test_files_left_of_a_snapshot() -> None:
    left = with_disk(file_name="[ds] app-01/app-01-000002.vmdk")
    found = blockers(left)
    assert [(finding.subject, finding.fact) for finding in found] == [("Hard disk 1", "trap 28")]
    assert not blockers(left, at_work=True)
    asked = [finding.what for finding in blockers(replace(DEBIAN, consolidation_needed=True))]
    assert asked == ["its disks need consolidation"], "said once, not twice"
    assert not blockers(with_disk(file_name="[ds] app-01/app-2020-000002.data.vmdk"))


def test_a_lease_gives_the_present_content_whatever_snapshots_there_are() -> None:
    machine = replace(with_disk(datastore_type="vsan"), snapshots=3)
    assert not blockers(machine, ONCE)
    assert "it has 3 snapshot(s)" in [finding.what for finding in said(machine, ONCE) if finding.severity is W]
    assert {finding.fact for finding in blockers(machine)} == {"trap 27", "F424"}


def test_tracking_that_is_off() -> None:
    finding = only("trap 27", replace(DEBIAN, cbt=False))
    assert finding.severity is I and "first run turns it on" in finding.why
    assert not of("trap 27") and not of("trap 27", replace(DEBIAN, cbt=False), ONCE)


@pytest.mark.parametrize(
    ("status", "power", "quiesce", "warned"),
    [
        ("toolsOk", Power.ON, True, False),
        ("toolsOld", Power.ON, True, False),
        ("toolsNotRunning", Power.ON, True, True),
        ("", Power.ON, True, True),
        ("", Power.OFF, True, False),
        ("", Power.ON, False, False),
    ],
)
def test_snapshots_that_cannot_be_quiesced(status: str, power: Power, quiesce: bool, warned: bool) -> None:
    found = of("trap 30", replace(DEBIAN, tools_status=status, power=power), plan(quiesce=quiesce))
    assert [finding.severity for finding in found] == ([W] if warned else [])


def test_what_imports_warn_of_is_said_here_too() -> None:
    machine = replace(DEBIAN, vtpm=True, nics=(Nic("a"), Nic("b")))
    words = [finding.what for finding in said(machine) if finding.severity is W]
    assert "it has a virtual TPM" in words and "it has 2 network interfaces" in words


# -- changes


def test_what_a_change_may_not_touch() -> None:
    def refused(replicated: bool = False, **change: Any) -> list[str]:
        found = check_edit(SPEC, replace(SPEC, **change), replicated=replicated)
        assert all(finding.severity is B and finding.remedy for finding in found)
        return [finding.fact for finding in found]

    assert refused() == refused(every_hours=24, keep=2, order=3, group="db", start=NOW + HOUR) == []
    assert refused(every_hours=0) == ["F439"]
    for change in ({"region": "eu-central-1"}, {"profile": "q"}, {"source": VmSource("vc", "vm-2", "app-02")}):
        assert refused(plan=replace(PLAN, **change)) == ["F439"]  # type: ignore[arg-type]
    assert refused(every_hours=48) == ["F431"]
    for change in ({"encrypted": True}, {"kms_key_id": "alias/k", "encrypted": True}):
        changed = replace(PLAN, **change)  # type: ignore[arg-type]
        assert refused(plan=changed) == [] and refused(replicated=True, plan=changed) == ["trap 21"]
    assert refused(replicated=True, plan=replace(PLAN, kms_key_id="")) == [], "no key, said in another way"
    assert refused(replicated=True, plan=replace(PLAN, description="x", license_type=LicenseType.BYOL)) == []


# -- what a run moves of a disk


KEPT = KeptDisk(2000, "u-1", 20 << 30, "52 de c0 d9/17", "snap-1")
LATER = DiskNow(2000, "u-1", 20 << 30, "52 de c0 d9/18", "Hard disk 1")


def chosen(
    kept: KeptDisk | None = KEPT, asked: Sync | None = None, tracked: bool = True, **change: Any
) -> tuple[Sync, str]:
    return choose_sync(kept, replace(LATER, **change), asked=asked, tracked=tracked)


def test_changed_blocks_where_the_tracking_goes_on() -> None:
    assert chosen() == (Sync.CHANGED, "")
    assert chosen(change_id="52 DE C0 D9/17") == (Sync.CHANGED, ""), "nothing changed, in other letters"
    assert chosen(uuid="")[0] is chosen(replace(KEPT, uuid=""))[0] is Sync.CHANGED, "vCenter did not say"


@pytest.mark.parametrize("asked", [None, Sync.FULL, Sync.CHECKSUM])
def test_the_first_copy_is_one_whatever_was_asked(asked: Sync | None) -> None:
    assert chosen(None, asked) == (Sync.FIRST, ""), "its name says why"


@pytest.mark.parametrize("asked", [None, Sync.FULL, Sync.CHECKSUM])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"capacity": 21 << 30}, "grew by 1 GiB to 21 GiB"),
        ({"capacity": 19 << 30}, "shrank by 1 GiB to 19 GiB"),
        ({"uuid": "u-2"}, "another disk"),
    ],
)
def test_another_disk_is_copied_in_full_whatever_was_asked(
    asked: Sync | None, change: dict[str, Any], words: str
) -> None:
    sync, reason = chosen(asked=asked, **change)
    assert sync is Sync.FULL and words in reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"change_id": "52 de c0 aa/18"}, "started anew"),
        ({"change_id": "52 de c0 d9/16"}, "set back to an earlier state"),
        ({"change_id": ""}, "no change id"),
        ({"change_id": "nonsense"}, "'nonsense' is not understood"),
        ({"change_id": "52 de c0 d9/-1"}, "is not understood"),
        ({"tracked": False}, "not tracked on this machine"),
        ({"kept": replace(KEPT, change_id="")}, "not tracked yet"),
        ({"kept": replace(KEPT, change_id="*")}, "'*' is not understood"),
    ],
)
def test_a_full_resync_where_the_tracking_cannot_be_trusted(change: dict[str, Any], words: str) -> None:
    sync, reason = chosen(**change)
    assert sync is Sync.FULL and words in reason
    assert chosen(asked=Sync.CHECKSUM, **change)[0] is Sync.CHECKSUM, "which needs no tracking"


@pytest.mark.parametrize("asked", [Sync.FULL, Sync.CHECKSUM])
def test_a_resync_that_was_asked_for(asked: Sync) -> None:
    assert chosen(asked=asked) == (asked, "the user asked for it")


ids = st.builds("{}/{}".format, st.sampled_from(["52 de", "52 DE ", "52 aa", ""]), st.integers(-1, 20)) | st.text(
    max_size=20
)


@given(ids, ids)
def test_changed_blocks_only_for_ids_of_one_epoch_going_up(before: str, after: str) -> None:
    """Whatever vSphere gives as an id: without proof that the tracking went on, all is copied."""
    sync, reason = choose_sync(
        replace(KEPT, change_id=before), replace(LATER, change_id=after), asked=None, tracked=True
    )
    assert (sync is Sync.CHANGED) is not bool(reason)
    if sync is Sync.CHANGED:
        old, new = before.rpartition("/"), after.rpartition("/")
        assert old[0].strip().lower() == new[0].strip().lower() and int(old[2]) <= int(new[2])


def test_families_are_what_the_machines_here_are_meant_to_be() -> None:
    assert [m.os_family for m in (DEBIAN, SERVER, CLIENT, STRANGER)] == [
        OsFamily.LINUX,
        OsFamily.WINDOWS_SERVER,
        OsFamily.WINDOWS_CLIENT,
        OsFamily.OTHER,
    ]
