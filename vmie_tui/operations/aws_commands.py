"""The same import by hand: the AWS CLI calls a plan amounts to, as shell that can be pasted."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

from vmie_tui.model.facts import GIB
from vmie_tui.model.machine import Disk, Machine
from vmie_tui.model.naming import NOT_IN_AMI_NAME
from vmie_tui.model.plan import ImportPlan, ObjectSource, Route, SnapshotSource, UploadFormat
from vmie_tui.operations.import_plan import Candidate

SUFFIXES = {UploadFormat.VMDK: "vmdk", UploadFormat.VHD: "vhd", UploadFormat.RAW: "raw", UploadFormat.OVA: "ova"}
_ID = "--query {path} --output text"
_VARIABLE = re.compile(r"\$SNAPSHOT_\d+")


def aws_commands(plans: Sequence[ImportPlan], candidates: Sequence[Candidate], *, wrapped: bool = False) -> str:
    """The calls for each plan; ``wrapped`` breaks them into lines to be read, which is still the same shell."""
    calls = (_calls(plan, one.machine, wrapped) for plan, one in zip(plans, candidates, strict=True))
    return ("\n\n" if wrapped else "\n").join("\n".join(lines) for lines in calls) + "\n"


def _calls(plan: ImportPlan, machine: Machine, wrapped: bool) -> list[str]:
    if plan.route is Route.IMAGE:
        return [_import_image(plan, _containers(plan, machine, wrapped), wrapped)]
    if plan.route is Route.IMAGE_DIRECT:
        snapshots = _snapshots(plan, machine, wrapped)
        return [*snapshots, _import_image(plan, _by_snapshot(plan, machine), wrapped)]
    if plan.route is Route.UNMODIFIED:
        return [*_snapshots(plan, machine, wrapped), _register(plan, machine, wrapped)]
    if plan.route is Route.SNAPSHOT:
        return [*_snapshots(plan, machine, wrapped), *_volumes(plan, machine)]
    return _instance(plan, machine)


def _call(start: str, words: Sequence[str], wrapped: bool) -> str:
    return (" \\\n  " if wrapped else " ").join([start, *words])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- where the bytes lie


def _objects(plan: ImportPlan, machine: Machine) -> list[tuple[str, str, str, str]]:
    """(description, format, bucket, key) of each object AWS reads."""
    if isinstance(plan.source, ObjectSource):
        form = plan.source.format or plan.upload_format.value
        return [(key.rsplit("/", 1)[-1], form, plan.source.bucket, key) for key in plan.source.keys]
    folder = f"{plan.prefix}{NOT_IN_AMI_NAME.sub('-', plan.source.name)}"
    form, suffix = plan.upload_format.value, SUFFIXES[plan.upload_format]
    if plan.upload_format is UploadFormat.OVA:
        return [(plan.source.name, form, plan.bucket, f"{folder}.ova")]
    return [(d.label, form, plan.bucket, f"{folder}/disk-{n}.{suffix}") for n, d in enumerate(machine.disks, 1)]


def _container(item: tuple[str, str, str, str], inner: str = "") -> str:
    label, form, bucket, key = item
    head = f'{{"Description":{_json(label)},"Format":"{form}",{inner}"UserBucket":'
    return head + _json({"S3Bucket": bucket, "S3Key": key}) + "}"


def _containers(plan: ImportPlan, machine: Machine, wrapped: bool) -> str:
    if isinstance(plan.source, SnapshotSource):
        return shlex.quote(_json([{"SnapshotId": ident} for ident in plan.source.snapshot_ids]))
    fold, inner = ("\n    ", "\n     ") if wrapped else ("", "")
    made = [_container(item, inner) for item in _objects(plan, machine)]
    return shlex.quote(f"[{fold}" + f",{fold}".join(made) + "]")


def _by_snapshot(plan: ImportPlan, machine: Machine) -> str:
    """The disk containers of snapshots, those that shell variables name among them."""
    return _expanded([{"SnapshotId": name} for name in _snapshot_names(plan, machine)])


def _expanded(value: object) -> str:
    """JSON as one quoted word in which the shell still puts the snapshots' ids in place of their variables."""
    return _VARIABLE.sub(lambda found: f"'\"{found[0]}\"'", shlex.quote(_json(value)))


def _snapshot_names(plan: ImportPlan, machine: Machine) -> list[str]:
    """What stands for each snapshot: its id, or the variable that holds it."""
    if isinstance(plan.source, SnapshotSource):
        return list(plan.source.snapshot_ids)
    return [f"$SNAPSHOT_{number}" for number in range(1, max(1, len(machine.disks)) + 1)]


# -- the calls


def _import_image(plan: ImportPlan, containers: str, wrapped: bool) -> str:
    optional = (
        ("--license-type", plan.license_type.value if plan.license_type else ""),
        ("--usage-operation", plan.usage_operation or ""),
        ("--boot-mode", plan.boot_mode.value if plan.boot_mode else ""),
        ("--platform", plan.platform or ""),
        ("--role-name", plan.role_name),
    )
    always = [("--region", plan.region), ("--description", plan.description)]
    words = [f"{name} {shlex.quote(value)}" for name, value in [*always, *optional] if value]
    words += _encryption(plan)
    return _call("aws ec2 import-image", [*words, f"--disk-containers {containers}"], wrapped)


def _encryption(plan: ImportPlan) -> list[str]:
    if not plan.encrypted:
        return []
    return ["--encrypted" + (f" --kms-key-id {shlex.quote(plan.kms_key_id)}" if plan.kms_key_id else "")]


def _snapshots(plan: ImportPlan, machine: Machine, wrapped: bool) -> list[str]:
    """The calls that make an EBS snapshot of each disk, its id in a shell variable; none for snapshots there are."""
    if isinstance(plan.source, SnapshotSource):
        return []
    region = f"--region {shlex.quote(plan.region)}"
    if plan.direct:
        return [line for n, disk in enumerate(machine.disks, 1) for line in _written(plan, disk, n, region, wrapped)]
    lines: list[str] = []
    for number, item in enumerate(_objects(plan, machine), 1):
        words = [
            region,
            *([f"--role-name {shlex.quote(plan.role_name)}"] if plan.role_name else []),
            *_encryption(plan),
        ]
        words += [f"--disk-container {shlex.quote(_container(item))}", _ID.format(path="ImportTaskId")]
        lines.append(f"TASK_{number}=$({_call('aws ec2 import-snapshot', words, wrapped)})")
        lines.append("# wait until it is completed, then")
        found = "'ImportSnapshotTasks[0].SnapshotTaskDetail.SnapshotId'"
        words = [region, f'--import-task-ids "$TASK_{number}"', _ID.format(path=found)]
        lines.append(f"SNAPSHOT_{number}=$({_call('aws ec2 describe-import-snapshot-tasks', words, wrapped)})")
    return lines


def _written(plan: ImportPlan, disk: Disk, number: int, region: str, wrapped: bool) -> list[str]:
    words = [region, f"--volume-size {-(-disk.capacity // GIB)}", f"--description {shlex.quote(plan.description)}"]
    if plan.encrypted:
        words.append("--encrypted" + (f" --kms-key-arn {shlex.quote(plan.kms_key_id)}" if plan.kms_key_id else ""))
    start = _call("aws ebs start-snapshot", [*words, _ID.format(path="SnapshotId")], wrapped)
    words = [region, f'--snapshot-id "$SNAPSHOT_{number}"', f'--changed-blocks-count "$BLOCKS_{number}"']
    return [
        f"SNAPSHOT_{number}=$({start})",
        f"# put each block of {_comment(disk.label)} that holds data: aws ebs put-snapshot-block; count them, then",
        _call("aws ebs complete-snapshot", words, wrapped),
    ]


def _comment(text: str) -> str:
    return " ".join(text.split())


def ami_name_of(plan: ImportPlan) -> str:
    """The AMI's name: the source's, without what AWS does not take, where the plan has none."""
    return plan.ami_name or NOT_IN_AMI_NAME.sub("-", plan.source.name)


def _register(plan: ImportPlan, machine: Machine, wrapped: bool) -> str:
    names = _snapshot_names(plan, machine)
    mappings = [
        {"DeviceName": device, "Ebs": {"SnapshotId": name}}
        for device, name in zip(devices(plan.root_device, len(names)), names, strict=True)
    ]
    words = [f"--region {shlex.quote(plan.region)}", f"--name {shlex.quote(ami_name_of(plan))}"]
    words += [f"--description {shlex.quote(plan.description)}"] if plan.description else []
    words += [f"--architecture {plan.architecture}", "--virtualization-type hvm"]
    words += [f"--boot-mode {plan.boot_mode.value}"] if plan.boot_mode else []
    words += ["--ena-support"] if plan.ena else []
    words += [f"--root-device-name {shlex.quote(plan.root_device)}", f"--block-device-mappings {_expanded(mappings)}"]
    return _call("aws ec2 register-image", words, wrapped)


def devices(root: str, count: int) -> list[str]:
    """The root device, then /dev/sdf and on, as EC2 names data volumes."""
    letters = "fghijklmnopqrstuvwxyzbcde"
    return [root, *(f"/dev/sd{letters[number % len(letters)]}" for number in range(count - 1))]


def _volumes(plan: ImportPlan, machine: Machine) -> list[str]:
    if plan.volumes is None:
        return []
    region, wanted = f"--region {shlex.quote(plan.region)}", plan.volumes
    lines: list[str] = []
    for number, (name, device) in enumerate(
        zip(_snapshot_names(plan, machine), devices("/dev/sdf", 1 + len(machine.disks))[1:], strict=False), 1
    ):
        zone = f"--availability-zone {shlex.quote(wanted.availability_zone)}"
        create = f'aws ec2 create-volume {region} {zone} --snapshot-id "{name}" --volume-type {wanted.volume_type}'
        lines.append(f"VOLUME_{number}=$({create} {_ID.format(path='VolumeId')})")
        if wanted.instance_id:
            target = f"--instance-id {shlex.quote(wanted.instance_id)} --device {device}"
            lines.append(f'aws ec2 attach-volume {region} --volume-id "$VOLUME_{number}" {target}')
    return lines


def _instance(plan: ImportPlan, machine: Machine) -> list[str]:
    """ImportInstance and ImportVolume are in the API alone: the AWS CLI leaves them out (F259)."""
    legacy = plan.legacy
    disk = machine.disks[0] if machine.disks else None
    gib = -(-disk.capacity // GIB) if disk else 1
    image = {"Format": plan.upload_format.value, "Bytes": "BYTES", "ImportManifestUrl": "URL"}
    zone = legacy.availability_zone if legacy else ""
    volume = {"Size": gib}
    arguments: dict[str, object]
    if legacy is not None and legacy.volume_only:
        name, arguments = "import_volume", {"AvailabilityZone": zone, "Image": image, "Volume": volume}
    else:
        launch: dict[str, object] = {"Architecture": plan.architecture}
        if legacy is not None:
            launch |= {"InstanceType": legacy.instance_type} if legacy.instance_type else {}
            launch |= {"SubnetId": legacy.subnet_id} if legacy.subnet_id else {}
            launch |= {"Placement": {"AvailabilityZone": zone}} if zone else {}
        disks = [{"Image": image, "Volume": volume}]
        name = "import_instance"
        arguments = {"Platform": plan.platform or "", "LaunchSpecification": launch, "DiskImages": disks}
    arguments["Description"] = plan.description
    text = repr(arguments).replace("'BYTES'", "int(sys.argv[1])").replace("'URL'", "sys.argv[2]")
    client = f"boto3.client('ec2', region_name={plan.region!r})"
    return [
        "# The AWS CLI has no call for this. Put the disk in parts and its manifest into S3, then, with boto3,",
        "# its size in bytes and a presigned URL of the manifest:",
        f'python3 -c {shlex.quote(f"import boto3, sys; print({client}.{name}(**{text}))")} "$BYTES" "$MANIFEST_URL"',
    ]
