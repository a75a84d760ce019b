"""Pictures of the screens, kept beside this file; look at them before accepting a change (--snapshot-update)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.kits.fake_backend import FSTAB, NOW, FakeOperations, company, described, preflight_of, proof_of, some_jobs
from tests.kits.fake_exports import closed_bucket
from tests.kits.fake_images import INSTANCE
from tests.kits.fake_replications import FakeReplicas, catalogue_of, some_replicas
from tests.kits.fake_tasks import WRONG_FORMAT, denied, record
from tests.kits.pictures import SMALL, WIDE, picture
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Inventory, VCenterInfo
from vmie_tui.model.plan import FileSource
from vmie_tui.model.replication import ReplicationView


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_inventory(snap_compare, size) -> None:
    assert picture(snap_compare, FakeOperations(jobs=some_jobs()), "j j j space", size)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_jobs(snap_compare, size) -> None:
    assert picture(snap_compare, FakeOperations(jobs=some_jobs()), "2", size)


def test_failed_job(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(jobs=some_jobs()), "2 down down")


def test_whole_job(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(jobs=some_jobs()), "2 enter")


def test_cancel_dialog(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(jobs=some_jobs()), "2 x")


def test_wizard_source(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "i", marked=("vm-1", "vm-2", "vm-4"))


def test_wizard_route(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "i pagedown down down space down down", marked=("vm-5",))


def test_wizard_target_of_a_snapshot_import(snap_compare) -> None:
    keys = "i pagedown down down down space pagedown pagedown" + " down" * 10 + " space" + " down" * 4 + " space"
    assert picture(snap_compare, FakeOperations(), keys, marked=("vm-2",))


def test_open(snap_compare) -> None:
    operations = FakeOperations()
    operations.imports.described["/exports/web.ova"] = described(FileSource("web", ("/exports/web.ova",)), disks=2)
    assert picture(snap_compare, operations, f"o {' '.join('/exports/web.ova')} enter")


def test_after_import(snap_compare) -> None:
    operations = FakeOperations(jobs=some_jobs())
    operations.images.running = (INSTANCE,)
    assert picture(snap_compare, operations, "2 down down down a")


def test_proof(snap_compare) -> None:
    operations = FakeOperations(jobs=some_jobs())
    operations.jobs.proofs["job0004"] = proof_of(some_jobs()[3], same=False, different=(7,))
    assert picture(snap_compare, operations, "2 down down down v")


def test_wizard_licence(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "i pagedown pagedown tab down down space", marked=("vm-4",))


def test_wizard_target(snap_compare) -> None:
    operations = FakeOperations()
    operations.profile = replace(operations.profile, bucket="", region="Ireland")
    assert picture(snap_compare, operations, "i pagedown pagedown pagedown", marked=("vm-1", "vm-2"))


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_wizard_review(snap_compare, size) -> None:
    assert picture(snap_compare, FakeOperations(), "i pagedown pagedown pagedown pagedown", size, ("vm-1", "vm-5"))


def test_wizard_blocked(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "i pagedown pagedown pagedown pagedown", marked=("vm-3", "vm-6"))


def test_wizard_force(snap_compare) -> None:
    keys = "i pagedown pagedown pagedown pagedown enter w e b"
    assert picture(snap_compare, FakeOperations(), keys, marked=("vm-3", "vm-6"))


def inspected() -> FakeOperations:
    operations = FakeOperations()
    operations.imports.preflights["web-02"] = preflight_of(company()[1], (), FSTAB)
    return operations


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_report(snap_compare, size) -> None:
    assert picture(snap_compare, inspected(), "p", size, marked=("vm-2",))


def test_report_checklist(snap_compare) -> None:
    assert picture(snap_compare, inspected(), "p pagedown pagedown", marked=("vm-2",))


def test_report_asks_before_a_snapshot(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "p", marked=("vm-1",))


def test_explained_job(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(jobs=some_jobs()), "2 down down e")


def test_folders(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "t")


def test_help(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "question_mark")


def test_vcenter_away_with_a_cached_list(snap_compare) -> None:
    operations = FakeOperations()
    operations.vcenter.cached = Inventory(VCenterInfo("vcenter.corp"), NOW - timedelta(hours=3), company()[:6])
    operations.vcenter.inventory_error = ServiceError(
        ErrorKind.NETWORK, "no answer on port 443", subject="vcenter.corp"
    )
    assert picture(snap_compare, operations)


def test_wrong_certificate(snap_compare) -> None:
    operations = FakeOperations(())
    operations.vcenter.inventory_error = ServiceError(
        ErrorKind.TLS,
        "its certificate is not signed by an authority this machine trusts",
        subject="vcenter.corp",
        remedy="Set ca_file to the authority's certificate, or thumbprint to pin this one",
        detail="certificate verify failed: unable to get local issuer certificate",
    )
    assert picture(snap_compare, operations)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])
def test_tasks(snap_compare, size) -> None:
    operations = FakeOperations()
    operations.tasks.records = (*operations.tasks.records, record(31, "deleted", WRONG_FORMAT, region="us-east-1"))
    operations.tasks.troubles = (denied("eu-central-1"),)
    assert picture(snap_compare, operations, "3 R a enter down down", size)


def test_whole_task(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "3 down down down down down enter")


def test_exports(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "4 down")


def test_export_form(snap_compare) -> None:
    operations = FakeOperations()
    operations.exports.report = closed_bucket()
    assert picture(snap_compare, operations, "4 x")


def test_export_into_vcenter(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "4 x ctrl+t tab")


def test_bucket_change(snap_compare) -> None:
    operations = FakeOperations()
    operations.exports.report = closed_bucket()
    assert picture(snap_compare, operations, "4 x ctrl+g")


def test_setup_checklist(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "6 n n n")


def test_fix_of_setup(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "6 n n f")


def test_list_of_profiles(snap_compare) -> None:
    operations = FakeOperations()
    lab = replace(operations.profile, name="lab", vcenter="lab-vc.corp", aws_profile="sand", region="us-east-1")
    operations.others = (lab, replace(operations.profile, name="audit", read_only=True))
    assert picture(snap_compare, operations, "P down")


def replicating(views: list[ReplicationView]) -> FakeOperations:
    operations = FakeOperations()
    operations.replications = FakeReplicas(views)
    operations.replications.servers = catalogue_of("web-01", "db-01", "win-file-01")
    return operations


@pytest.mark.parametrize("size", [SMALL, (180, 40)], ids=["80x24", "180x40"])
def test_replications(snap_compare, size) -> None:
    assert picture(snap_compare, replicating(some_replicas()), "5 down", size)


def test_no_replication(snap_compare) -> None:
    assert picture(snap_compare, FakeOperations(), "5")


def test_replication_that_failed(snap_compare) -> None:
    assert picture(snap_compare, replicating(some_replicas()), "5 down down down down")
