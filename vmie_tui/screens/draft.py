"""What the wizard has been told so far: pure values, turned into one `ImportPlan` per machine and the AWS command."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from vmie_tui.model import facts
from vmie_tui.model.machine import Machine, OsFamily, Power
from vmie_tui.model.plan import BootMode, ImportPlan, LicenseType, Route, UploadFormat, VmSource
from vmie_tui.model.rules.licensing import default_licence, usage_operations

VM = "{vm}"
USAGE = "usage"
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
NOT_IN_AMI_NAME = re.compile(r"[^A-Za-z0-9()\[\] ./\-'@_]")
FAMILIES = {
    OsFamily.LINUX: "Linux",
    OsFamily.WINDOWS_SERVER: "Windows Server",
    OsFamily.WINDOWS_CLIENT: "Windows client",
    OsFamily.OTHER: "unlisted system",
}


@dataclass(frozen=True, slots=True)
class LicenceOption:
    """One way to license; ``refused`` says why it is not possible for these machines."""

    value: str
    label: str
    note: str = ""
    refused: str = ""


@dataclass(slots=True)
class Draft:
    """Answers of the wizard. Texts are as typed; ``{vm}`` in the AMI name and description stands for the VM's name."""

    machines: tuple[Machine, ...]
    profile: str
    vcenter: str
    region: str = ""
    bucket: str = ""
    prefix: str = ""
    role_name: str = ""
    licence: str = ""  # LicenseType value, USAGE, or empty: not chosen
    usage_operation: str = ""
    ami_name: str = VM
    description: str = ""
    tags: str = ""
    boot_mode: str = ""
    encrypted: bool = False
    kms_key: str = ""
    quiesce: bool = True
    families: frozenset[OsFamily] = field(default=frozenset())

    def __post_init__(self) -> None:
        self.families = frozenset(machine.os_family for machine in self.machines)
        defaults = {default_licence(family) for family in self.families}
        if len(defaults) == 1:
            only = next(iter(defaults))
            self.licence = only.value if only else ""
        if not self.description:
            self.description = f"{VM} from {self.vcenter}"

    @property
    def running(self) -> bool:
        """Whether one of the machines is on, so that a snapshot is made first."""
        return any(machine.power is Power.ON for machine in self.machines)

    @property
    def size(self) -> int:
        return sum(machine.size for machine in self.machines)

    def names(self) -> str:
        return ", ".join(machine.name for machine in self.machines)

    # -- licence

    def licence_options(self) -> tuple[LicenceOption, ...]:
        """BYOL, AWS-provided, usage operation; each with what it means or why it cannot be."""
        not_server = [m for m in self.machines if m.os_family in {OsFamily.LINUX, OsFamily.WINDOWS_CLIENT}]
        own = f"the only one for {FAMILIES[not_server[0].os_family]}" if not_server else "the source's licence goes on"
        aws_refused = ""
        if not_server:
            others = len(not_server) < len(self.machines)
            aws_refused = "Windows Server only" + (f", {not_server[0].name} is not" if others else "")
        usage_refused = "" if self.usage_options() else "no code fits all of these systems"
        return (
            LicenceOption(LicenseType.BYOL.value, "Bring your own (BYOL)", own),
            LicenceOption(LicenseType.AWS.value, "AWS-provided", "a new licence, billed by AWS", aws_refused),
            LicenceOption(USAGE, "Usage operation", "also covers SQL Server", usage_refused),
        )

    def usage_options(self) -> tuple[tuple[str, str], ...]:
        """(code, meaning) of the usage operations that fit every machine; meanings of one code are joined."""
        sets = [dict.fromkeys(code for code, _ in usage_operations(family)) for family in self.families]
        codes = [code for code in sets[0] if all(code in other for other in sets)] if sets else []
        words: dict[str, list[str]] = {}
        for code, text in usage_operations(next(iter(self.families), OsFamily.OTHER)):
            if code in codes:
                words.setdefault(code, []).append(text)
        return tuple((code, " / ".join(texts)) for code, texts in words.items())

    def licence_words(self) -> list[str]:
        """What the choice means, in a few sentences of the guides."""
        rules = {rule["id"]: rule for rule in facts.load("licences")["license_rules"]}
        windows = OsFamily.WINDOWS_SERVER in self.families or OsFamily.WINDOWS_CLIENT in self.families
        if self.licence == LicenseType.BYOL.value:
            words = ["You keep the source system's licence and are responsible for it."]
            if windows:
                words.append(rules["LR13"]["rule"].split(" only when")[0] + " only on a Dedicated Host, among others.")
            if any("red hat" in m.os_name.lower() or "rhel" in m.os_name.lower() for m in self.machines):
                words.append(rules["LR7"]["rule"])
            if any("suse" in m.os_name.lower() for m in self.machines):
                words.append(rules["LR8"]["rule"])
            return words
        if self.licence == LicenseType.AWS.value:
            return ["AWS replaces the source licence by its own and bills it with the instance."]
        if self.licence == USAGE:
            return [rules["LR9"]["rule"], rules["LR10"]["rule"]]
        return ["Choose one. Left out, Windows Server gets an AWS licence, and is billed for it."]

    # -- target

    def ami_name_for(self, machine: Machine) -> str:
        return self.ami_name.replace(VM, NOT_IN_AMI_NAME.sub("-", machine.name)).strip()

    def tag_table(self) -> dict[str, str]:
        """Tags of ``key=value, key=value``; ValueError names the part that is none."""
        table: dict[str, str] = {}
        for part in (piece.strip() for piece in self.tags.split(",")):
            if part:
                key, equals, value = part.partition("=")
                if not equals or not key.strip():
                    raise ValueError(part)
                table[key.strip()] = value.strip()
        return table

    def mistakes(self) -> dict[str, str]:
        """What is wrong with the target's fields, by field; rules on the whole plan come with `plans`."""
        found: dict[str, str] = {}
        if not REGION.fullmatch(self.region):
            found["region"] = "A Region reads like eu-west-1"
        if not self.bucket:
            found["bucket"] = "Name a bucket in that Region"
        if not self.role_name:
            found["role_name"] = "Name the service role, usually vmimport"
        names = Counter(self.ami_name_for(machine) for machine in self.machines)
        if any(count > 1 for count in names.values()):
            found["ami_name"] = f"{len(self.machines)} AMIs cannot share a name: put {VM} into it"
        try:
            self.tag_table()
        except ValueError as error:
            found["tags"] = f"Tags read like key=value, key=value; not {str(error)!r}"
        return found

    def plans(self) -> list[ImportPlan]:
        """One plan per machine. Raises ValueError while the tags cannot be read."""
        return [self.plan_for(machine) for machine in self.machines]

    def plan_for(self, machine: Machine) -> ImportPlan:
        usage = self.licence == USAGE
        return ImportPlan(
            profile=self.profile,
            source=VmSource(self.vcenter, machine.moid, machine.name, machine.instance_uuid),
            region=self.region,
            bucket=self.bucket,
            route=Route.IMAGE,
            upload_format=UploadFormat.VMDK,
            license_type=LicenseType(self.licence) if self.licence and not usage else None,
            usage_operation=self.usage_operation or None if usage else None,
            prefix=self.prefix,
            role_name=self.role_name,
            ami_name=self.ami_name_for(machine),
            description=self.description.replace(VM, machine.name),
            tags=self.tag_table(),
            boot_mode=BootMode(self.boot_mode) if self.boot_mode else None,
            encrypted=self.encrypted,
            kms_key_id=self.kms_key or None,
            quiesce=self.quiesce,
        )


def aws_command(plan: ImportPlan, machine: Machine, *, wrapped: bool = False) -> str:
    """The AWS CLI call that would import the machine's disks once they lie in the bucket: one line of shell.

    ``wrapped`` breaks it into lines to be read, one for each option and two for each disk; it is still the same shell.
    """
    words = [f"{name} {shlex.quote(value)}" for name, value in _aws_options(plan)]
    if plan.encrypted:
        words.append("--encrypted" + (f" --kms-key-id {shlex.quote(plan.kms_key_id)}" if plan.kms_key_id else ""))
    folder = f"{plan.prefix}{NOT_IN_AMI_NAME.sub('-', machine.name)}"
    fold, inner = ("\n    ", "\n     ") if wrapped else ("", "")
    containers = [
        f'{{"Description":{_json(disk.label)},"Format":"{plan.upload_format.value}",{inner}"UserBucket":'
        + _json({"S3Bucket": plan.bucket, "S3Key": f"{folder}/disk-{number}.vmdk"})
        + "}"
        for number, disk in enumerate(machine.disks, 1)
    ]
    words.append("--disk-containers " + shlex.quote(f"[{fold}" + f",{fold}".join(containers) + "]"))
    return (" \\\n  " if wrapped else " ").join(["aws ec2 import-image", *words])


def _aws_options(plan: ImportPlan) -> list[tuple[str, str]]:
    """(option, value) of what the plan says in plain texts."""
    optional = (
        ("--license-type", plan.license_type.value if plan.license_type else ""),
        ("--usage-operation", plan.usage_operation or ""),
        ("--boot-mode", plan.boot_mode.value if plan.boot_mode else ""),
        ("--platform", plan.platform or ""),
        ("--role-name", plan.role_name),
    )
    always = [("--region", plan.region), ("--description", plan.description)]
    return always + [(name, value) for name, value in optional if value]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def aws_commands(plans: Sequence[ImportPlan], machines: Sequence[Machine], *, wrapped: bool = False) -> str:
    """One call for each plan."""
    calls = (aws_command(plan, machine, wrapped=wrapped) for plan, machine in zip(plans, machines, strict=True))
    return ("\n\n" if wrapped else "\n").join(calls) + "\n"
