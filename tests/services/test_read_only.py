"""Read-only is enforced in one place, for every call that changes something: AWS, vCenter, and our own jobs.

The calls are found by reading the code of the services, so that one added tomorrow is looked at too.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from pyVmomi import VmomiSupport, vim

import vmie_tui
from tests.kits.aws_world import settings_for as aws_settings
from tests.kits.aws_world import world
from tests.kits.vcenter_session import log_in, named, settings_for
from vmie_tui.model.errors import ErrorKind, ServiceError, SettingsError
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.model.task import JobState
from vmie_tui.operations.jobs import Jobs
from vmie_tui.services.aws.session import BLOCKS, PARTS, Aws, open_session
from vmie_tui.services.read_only import AWS_READS, VSPHERE_READS, Policy, reads_aws
from vmie_tui.services.vsphere.changed_blocks import enable_tracking
from vmie_tui.services.vsphere.inventory import read_inventory
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease
from vmie_tui.services.vsphere.nfc.orphaned_leases import end_own_export
from vmie_tui.services.vsphere.power import power_on, shut_down
from vmie_tui.services.vsphere.session import VSphere, connect
from vmie_tui.services.vsphere.snapshot import create_snapshot, remove_snapshot
from vmie_tui.settings import Settings, load
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator

ROOT = Path(vmie_tui.__file__).parent
SERVICES = ("ec2", "s3", "ebs", "iam", "sts", "kms")

# -- what the services call, told from their code


def names_in(folder: str) -> Iterator[tuple[str, str]]:
    """(function, name): every attribute and text in the code of a folder, by the function it stands in."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        yield from _inside(ast.parse(path.read_text(encoding="utf-8")), module)


def _inside(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        inner = f"{where}.{child.name}" if isinstance(child, ast.FunctionDef | ast.ClassDef) else where
        if isinstance(child, ast.Attribute):
            yield where, child.attr
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield where, child.value
        yield from _inside(child, inner)


@cache
def operations() -> dict[str, tuple[str, str]]:
    """Python's name of each AWS operation -> its service and its name in the API."""
    session = boto3.session.Session()._session
    return {
        xform_name(name): (service, name)
        for service in reversed(SERVICES)
        for name in session.get_service_model(service).operation_names
    }


@cache
def aws_calls() -> dict[str, set[str]]:
    """Function of services/aws -> the AWS operations it names."""
    found: dict[str, set[str]] = defaultdict(set)
    for where, name in names_in("services/aws"):
        if name in operations():
            found[where].add(name)
    return found


@cache
def vsphere_methods() -> dict[str, set[str]]:
    """Function of services/vsphere -> the vSphere methods it names, as they are named on the wire."""
    known = {name for namespace, name in VmomiSupport._wsdlMethodMap if namespace == "urn:vim25"}
    found: dict[str, set[str]] = defaultdict(set)
    for where, name in names_in("services/vsphere"):
        if name in known:
            found[where].add(name)
    return found


def changing_aws() -> list[str]:
    named = {name for names in aws_calls().values() for name in names}
    return sorted(name for name in named if not reads_aws(operations()[name][1]))


def changing_vsphere() -> list[str]:
    return sorted({name for names in vsphere_methods().values() for name in names} - VSPHERE_READS)


def test_the_reads_of_aws_are_those_that_are_called_and_no_others() -> None:
    """A call that is not on the list is refused by a read-only run; a name on it that nobody calls is one too many."""
    verbs = ("Describe", "Get", "Head", "List", "Simulate")
    named = {operations()[name][1] for _, name in names_in("services") if name in operations()}
    assert {name for name in named if name.startswith(verbs)} == AWS_READS


@pytest.mark.parametrize(
    "operation",
    [
        "GetSessionToken",
        "GetFederationToken",
        "GetWebIdentityToken",
        "GetDelegatedAccessToken",
        "GetCredentialReport",
        "GetParametersForImport",
        "GetPasswordData",
        "ListOfTomorrow",
        "Describe",
        "getobject",
    ],
)
def test_what_only_sounds_like_a_read_is_none(operation: str) -> None:
    assert not reads_aws(operation)
    with pytest.raises(ServiceError):
        Policy(read_only=True).check_aws(operation)


# -- no such call is sent


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwsSimulator, Aws]]:
    folder = tmp_path_factory.mktemp("aws")
    with world(tls, folder) as (simulator, _):
        session = open_session(aws_settings(simulator, tls, folder), read_only=True)
        yield simulator, session
        session.close()


@pytest.mark.parametrize("name", changing_aws())
def test_aws_refuses(aws: tuple[AwsSimulator, Aws], name: str) -> None:
    simulator, session = aws
    service, operation = operations()[name]
    simulator.stats.reset()
    for client in {service, {"s3": PARTS, "ebs": BLOCKS}.get(service, service)}:
        with pytest.raises(ServiceError, match=f"so {operation} is not sent") as caught:
            getattr(session.client(client), name)()
        assert caught.value.kind is ErrorKind.REFUSED
    assert simulator.stats.snapshot() == {}


def test_a_signed_url_that_changes_something_is_refused_too(aws: tuple[AwsSimulator, Aws]) -> None:
    client = aws[1].client("s3")
    assert client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    with pytest.raises(ServiceError, match="so DeleteObject is not sent"):
        client.generate_presigned_url("delete_object", Params={"Bucket": "b", "Key": "k"})


@pytest.fixture(scope="module")
def reader(vcenter: VCenterSimulator) -> Iterator[VSphere]:
    with connect(settings_for(vcenter), vcenter.password, read_only=True) as session:
        yield session


@pytest.mark.parametrize("name", changing_vsphere())
def test_vcenter_refuses(vcenter: VCenterSimulator, reader: VSphere, name: str) -> None:
    vcenter.stats.reset()
    method = VmomiSupport.GetWsdlMethod("urn:vim25", name).info
    target = vim.VirtualMachine("vm-1", reader.stub)
    for stub in (reader.stub, reader.second_stub()):
        with pytest.raises(ServiceError, match=f"so {name} is not sent"):
            reader.call(partial(stub.InvokeMethod, target, method, ()))
    assert vcenter.stats.snapshot() == {}


def test_the_calls_that_change_something_are_these() -> None:
    """A new one is refused already; enter it here, and drive the method that makes it (test_aws_read_only)."""
    assert set(changing_aws()) == AWS_CHANGES
    assert set(changing_vsphere()) == VSPHERE_CHANGES


AWS_CHANGES = {
    "abort_multipart_upload",
    "attach_volume",
    "cancel_conversion_task",
    "cancel_export_task",
    "cancel_import_task",
    "complete_multipart_upload",
    "complete_snapshot",
    "copy_image",
    "create_bucket",
    "create_instance_export_task",
    "create_multipart_upload",
    "create_security_group",
    "create_snapshot",
    "create_tags",
    "create_volume",
    "delete_object",
    "delete_objects",
    "delete_security_group",
    "delete_snapshot",
    "delete_volume",
    "deregister_image",
    "export_image",
    "import_image",
    "import_instance",
    "import_snapshot",
    "import_volume",
    "put_bucket_acl",
    "put_bucket_encryption",
    "put_bucket_ownership_controls",
    "put_object",
    "put_snapshot_block",
    "register_image",
    "revoke_security_group_egress",
    "revoke_security_group_ingress",
    "run_instances",
    "start_snapshot",
    "stop_instances",
    "terminate_instances",
    "upload_part",
}
VSPHERE_CHANGES = {
    "CancelTask",
    "CreateSnapshot_Task",
    "Destroy_Task",
    "DropConnections",  # of a VM's consoles; ours is the stub's of the same name, which the policy does not see
    "ExportSnapshot",
    "ExportVm",
    "HttpNfcLeaseAbort",
    "HttpNfcLeaseComplete",
    "HttpNfcLeaseGetManifest",  # reads, but only of a lease, which blocks the machine
    "HttpNfcLeaseProgress",
    "HttpNfcLeaseSetManifestChecksumType",
    "ImportVApp",
    "PowerOnVM_Task",
    "ReconfigVM_Task",
    "RemoveSnapshot_Task",
    "ShutdownGuest",
}


# -- the services' own methods, driven


def vsphere_writes(session: VSphere, moid: str) -> dict[str, Callable[[], object]]:
    return {
        "create_snapshot": lambda: create_snapshot(session, moid, "x", "", quiesce=False),
        "remove_snapshot": lambda: remove_snapshot(session, "snapshot-1"),
        "lease": lambda: ExportLease(session, moid).__enter__(),
        "enable_tracking": lambda: enable_tracking(session, moid),
        "shut_down": lambda: shut_down(session, moid, seconds=1),
        "power_on": lambda: power_on(session, moid),
    }


@pytest.mark.parametrize(
    "name",
    ["create_snapshot", "remove_snapshot", "lease", "enable_tracking", "shut_down", "power_on"],
)
def test_vcenter_is_read_and_nothing_else(vcenter: VCenterSimulator, reader: VSphere, name: str) -> None:
    vcenter.stats.reset()
    machine = named(reader, "db-01" if name in {"lease", "power_on"} else "app-01")
    with pytest.raises(ServiceError, match="read-only") as caught:
        vsphere_writes(reader, machine.moid)[name]()
    assert caught.value.kind is ErrorKind.REFUSED
    assert {call.rpartition(":")[2] for call in vcenter.stats.snapshot()} <= VSPHERE_READS


def test_reading_vcenter_works(vcenter: VCenterSimulator, reader: VSphere) -> None:
    with log_in(vcenter) as free:
        assert [m.name for m in read_inventory(reader).machines] == [m.name for m in read_inventory(free).machines]
    assert end_own_export(reader, "vm-1") is False
    assert reader.alive()


# -- every session is opened with the profile's word


def test_no_session_is_opened_without_saying_so() -> None:
    forgotten = []
    for path in ROOT.rglob("*.py"):
        if "simulators" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in {"open_session", "connect"} and "read_only" not in {k.arg for k in node.keywords}:
                forgotten.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert forgotten == []


# -- settings and jobs

CONFIG = """
{head}
[profiles.a.vcenter]
host = "vc"
user = "u"
[profiles.b]
read_only = true
"""


def settings(folder: Path, head: str = "", env: dict[str, str] | None = None, **more: Any) -> Settings:
    (folder / "config.toml").write_text(CONFIG.format(head=head))
    return load(state_dir=folder, config_file=folder / "config.toml", environ=env or {}, **more)


@pytest.mark.parametrize(
    ("head", "env", "flag", "origin"),
    [
        ("", {}, False, "default"),
        ("read_only = true", {}, False, "config.toml"),
        ("", {"VMIE_READ_ONLY": "1"}, False, "$VMIE_READ_ONLY"),
        ("read_only = true", {"VMIE_READ_ONLY": "0"}, False, "config.toml"),
        ("", {}, True, "--read-only"),
    ],
)
def test_who_says_read_only(tmp_path: Path, head: str, env: dict[str, str], flag: bool, origin: str) -> None:
    found = settings(tmp_path, head, env, read_only=flag)
    wanted = origin != "default"
    assert found.read_only is wanted and found.profile("a").read_only is wanted and found.profile("b").read_only
    assert found.origin("read_only").endswith(origin)


@pytest.mark.parametrize(("head", "env"), [('read_only = "yes"', {}), ("", {"VMIE_READ_ONLY": "maybe"})])
def test_nonsense_is_not_taken_for_no(tmp_path: Path, head: str, env: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        settings(tmp_path, head, env)


def steps(client: Jobs, job_id: str, profile: str) -> dict[str, Callable[[], object]]:
    plan = ImportPlan(profile, VmSource("vc", "vm-1", "app"), "eu-west-1", "bucket")
    return {
        "submit": partial(client.submit, plan),
        "cancel": partial(client.cancel, job_id),
        "pause": partial(client.pause, job_id),
        "resume": partial(client.resume, job_id),
        "fallback": partial(client.fallback, job_id),
    }


@pytest.mark.parametrize("everything", [False, True])
def test_jobs_refuse_too(tmp_path: Path, everything: bool) -> None:
    profile = "a" if everything else "b"
    client = Jobs(settings(tmp_path, read_only=everything))
    job_id = client._store.create(ImportPlan(profile, VmSource("vc", "vm-1", "app"), "eu-west-1", "bucket"))
    try:
        for step in steps(client, job_id, profile).values():
            with pytest.raises(ServiceError, match="read-only") as caught:
                step()
            assert caught.value.kind is ErrorKind.REFUSED
        if everything:
            with pytest.raises(ServiceError, match="read-only"):
                client.ensure_worker()
        assert client.job(job_id).state is JobState.QUEUED and not client.worker().alive
    finally:
        client.close()


CHANGES: list[Callable[[Policy], None]] = [
    lambda policy: policy.check_aws("DeleteObject"),
    lambda policy: policy.check_vsphere("Destroy_Task"),
    lambda policy: policy.check_work("started"),
]


@pytest.mark.parametrize("change", CHANGES, ids=["AWS", "vCenter", "work"])
def test_changes_are_refused_when_read_only_and_by_default_are_not(change: Callable[[Policy], None]) -> None:
    with pytest.raises(ServiceError, match="read-only") as caught:
        change(Policy(read_only=True))
    assert caught.value.kind is ErrorKind.REFUSED
    change(Policy())
