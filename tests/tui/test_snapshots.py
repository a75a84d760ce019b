"""Pictures of the screens, kept beside this file; look at them before accepting a change (--snapshot-update)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.tui.driving import press, screen_text, settle, until
from tests.tui.fake import FSTAB, NOW, FakeBackend, company, described, preflight_of, proof_of, some_jobs
from tests.tui.fake_desk import WRONG_FORMAT, denied, record
from tests.tui.fake_images import INSTANCE
from tests.tui.fake_outward import closed_bucket
from tests.tui.fake_replicas import FakeReplicas, catalogue_of, some_replicas
from vmie_tui.app import VmieApp
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Inventory, VCenterInfo
from vmie_tui.model.plan import FileSource
from vmie_tui.model.replication import ReplicationView
from vmie_tui.widgets.machines import MachineTable

SMALL, WIDE = (80, 24), (120, 36)


def picture(snap_compare, backend: FakeBackend, keys: str = "", size=SMALL, marked: tuple[str, ...] = ()) -> bool:
    app = VmieApp(backend, now=lambda: NOW)

    async def before(pilot) -> None:
        await until(pilot, lambda: app.jobs is not None, "jobs read")
        await settle(pilot)
        for table in app.screen.query(MachineTable):
            table.marked = set(marked)
            table.repaint()
        for key in keys.split():
            await press(pilot, key)
            await until(pilot, lambda: "reading…" not in screen_text(pilot), "everything read")

    return snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_inventory(snap_compare, size) -> None:
    assert picture(snap_compare, FakeBackend(jobs=some_jobs()), "j j j space", size)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_jobs(snap_compare, size) -> None:
    assert picture(snap_compare, FakeBackend(jobs=some_jobs()), "2", size)


def test_failed_job(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(jobs=some_jobs()), "2 down down")


def test_whole_job(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(jobs=some_jobs()), "2 enter")


def test_cancel_dialog(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(jobs=some_jobs()), "2 x")


def test_wizard_source(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "i", marked=("vm-1", "vm-2", "vm-4"))


def test_wizard_route(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "i pagedown down down space down down", marked=("vm-5",))


def test_wizard_target_of_a_snapshot_import(snap_compare) -> None:
    keys = "i pagedown down down down space pagedown pagedown" + " down" * 10 + " space" + " down" * 4 + " space"
    assert picture(snap_compare, FakeBackend(), keys, marked=("vm-2",))


def test_open(snap_compare) -> None:
    backend = FakeBackend()
    backend.described["/exports/web.ova"] = described(FileSource("web", ("/exports/web.ova",)), disks=2)
    assert picture(snap_compare, backend, f"o {' '.join('/exports/web.ova')} enter")


def test_after_import(snap_compare) -> None:
    backend = FakeBackend(jobs=some_jobs())
    backend.images.running = (INSTANCE,)
    assert picture(snap_compare, backend, "2 down down down a")


def test_proof(snap_compare) -> None:
    backend = FakeBackend(jobs=some_jobs())
    backend.proofs["job0004"] = proof_of(some_jobs()[3], same=False, different=(7,))
    assert picture(snap_compare, backend, "2 down down down v")


def test_wizard_licence(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "i pagedown pagedown tab down down space", marked=("vm-4",))


def test_wizard_target(snap_compare) -> None:
    backend = FakeBackend()
    backend.profile = replace(backend.profile, bucket="")
    assert picture(snap_compare, backend, "i pagedown pagedown pagedown", marked=("vm-1", "vm-2"))


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_wizard_review(snap_compare, size) -> None:
    assert picture(snap_compare, FakeBackend(), "i pagedown pagedown pagedown pagedown", size, ("vm-1", "vm-5"))


def test_wizard_blocked(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "i pagedown pagedown pagedown pagedown", marked=("vm-3", "vm-6"))


def test_wizard_force(snap_compare) -> None:
    keys = "i pagedown pagedown pagedown pagedown enter w e b"
    assert picture(snap_compare, FakeBackend(), keys, marked=("vm-3", "vm-6"))


def inspected() -> FakeBackend:
    backend = FakeBackend()
    backend.preflights["web-02"] = preflight_of(company()[1], (), FSTAB)
    return backend


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_report(snap_compare, size) -> None:
    assert picture(snap_compare, inspected(), "p", size, marked=("vm-2",))


def test_report_checklist(snap_compare) -> None:
    assert picture(snap_compare, inspected(), "p pagedown pagedown", marked=("vm-2",))


def test_report_asks_before_a_snapshot(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "p", marked=("vm-1",))


def test_explained_job(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(jobs=some_jobs()), "2 down down e")


def test_folders(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "t")


def test_help(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "question_mark")


def test_vcenter_away_with_a_cached_list(snap_compare) -> None:
    backend = FakeBackend()
    backend.cached = Inventory(VCenterInfo("vcenter.corp"), NOW - timedelta(hours=3), company()[:6])
    backend.inventory_error = ServiceError(ErrorKind.NETWORK, "no answer on port 443", subject="vcenter.corp")
    assert picture(snap_compare, backend)


def test_wrong_certificate(snap_compare) -> None:
    backend = FakeBackend(())
    backend.inventory_error = ServiceError(
        ErrorKind.TLS,
        "its certificate is not signed by an authority this machine trusts",
        subject="vcenter.corp",
        remedy="Set ca_file to the authority's certificate, or thumbprint to pin this one",
        detail="certificate verify failed: unable to get local issuer certificate",
    )
    assert picture(snap_compare, backend)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_tasks(snap_compare, size) -> None:
    backend = FakeBackend()
    backend.desk.records = (*backend.desk.records, record(31, "deleted", WRONG_FORMAT, region="us-east-1"))
    backend.desk.troubles = (denied("eu-central-1"),)
    assert picture(snap_compare, backend, "3 R a enter down down", size)


def test_whole_task(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "3 down down down down down enter")


def test_exports(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "4 down")


def test_export_form(snap_compare) -> None:
    backend = FakeBackend()
    backend.outward.report = closed_bucket()
    assert picture(snap_compare, backend, "4 x")


def test_export_into_vcenter(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "4 x ctrl+t tab")


def test_bucket_change(snap_compare) -> None:
    backend = FakeBackend()
    backend.outward.report = closed_bucket()
    assert picture(snap_compare, backend, "4 x ctrl+g")


def test_setup_checklist(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "6 n n n")


def test_fix_of_setup(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "6 n n f")


def test_list_of_profiles(snap_compare) -> None:
    backend = FakeBackend()
    lab = replace(backend.profile, name="lab", vcenter="lab-vc.corp", aws_profile="sand", region="us-east-1")
    backend.others = (lab, replace(backend.profile, name="audit", read_only=True))
    assert picture(snap_compare, backend, "P down")


def replicating(views: list[ReplicationView]) -> FakeBackend:
    backend = FakeBackend()
    backend.replicas = FakeReplicas(views)
    backend.replicas.servers = catalogue_of("web-01", "db-01", "win-file-01")
    return backend


@pytest.mark.parametrize("size", [SMALL, (180, 40)], ids=["80x24", "180x40"])
def test_replications(snap_compare, size) -> None:
    assert picture(snap_compare, replicating(some_replicas()), "5 down", size)


def test_no_replication(snap_compare) -> None:
    assert picture(snap_compare, FakeBackend(), "5")


def test_replication_that_failed(snap_compare) -> None:
    assert picture(snap_compare, replicating(some_replicas()), "5 down down down down")
