"""What keeps an instance or image from being exported, said before AWS is asked: the considerations of the guides."""

from __future__ import annotations

from collections.abc import Iterator

from vmie_tui.model import facts
from vmie_tui.model.export import Container, ExportFormat, ExportPlan, TargetEnvironment
from vmie_tui.model.exportable import Exportable, ExportDisk
from vmie_tui.model.finding import Finding, Severity
from vmie_tui.model.rules.export_bucket import check_bucket
from vmie_tui.model.rules.plan import BUCKET_NAME, ROLE_NAME
from vmie_tui.model.rules.secrets import check_tag_names, check_texts

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741 - read as a column of the rules below
_WHOLE = {True: frozenset({"running", "stopped"}), False: frozenset({"available"})}
_MAKE_AN_IMAGE = "Create an AMI of the instance and export that"
_BIOS_AND_UEFI = "uefi-preferred"
_UNLICENSED = frozenset({"linux", "windows-server"})  # systems with no fee of AWS but for what the code names
_AMAZON = frozenset({"amazon", "137112412989"})  # alias, and the account of Amazon Linux (origin: known)


def check_exportable(thing: Exportable) -> tuple[Finding, ...]:
    """Findings on the instance or image alone, worst first; what is not known is not spoken of."""
    found = [
        *_state(thing),
        *_licences(thing),
        *_disks(thing),
        *_origin(thing),
        *_architecture(thing),
        *_boot(thing),
        *_tasks(thing),
    ]
    return _sorted(found)


def check_export(plan: ExportPlan, thing: Exportable | None = None) -> tuple[Finding, ...]:
    """Findings on the plan, and on what is to be exported and its bucket where they are known; worst first."""
    found = [*_format(plan), *_target(plan)]
    if thing is not None:
        found += check_exportable(thing)
        if thing.bucket is not None:
            found += check_bucket(thing.bucket, plan.region, instance=plan.is_instance)
    return _sorted(found)


def _sorted(found: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def not_exportable() -> str:
    """AWS's words for an instance that cannot be exported (E17), without the placeholders of its request."""
    return str(facts.error("E17")["message"]).partition(" (Service:")[0]


def _begun(text: str) -> str:
    """With a capital in front; the others stay as they are."""
    return text[:1].upper() + text[1:]


def _fact(thing: Exportable, instance: str, image: str) -> str:
    return instance if thing.is_instance else image


# -- the instance or image itself


def _state(thing: Exportable) -> Iterator[Finding]:
    whole = _WHOLE[thing.is_instance]
    if not thing.state or thing.state in whole:
        if thing.state == "running":
            yield Finding(
                W,
                "the instance may reboot during the export",
                thing.id,
                remedy="Stop it first, or choose a time when it may be away",
                fact="F313",
            )
        return
    what = "instance" if thing.is_instance else "image"
    yield Finding(
        B,
        f"the {what} is {thing.state}",
        thing.id,
        "It must exist while it is exported",
        not_exportable() if thing.is_instance else "",
        f"Wait until it is {' or '.join(sorted(whole))}, or choose another",
        _fact(thing, "F304", "F326"),
    )


def _licences(thing: Exportable) -> Iterator[Finding]:
    fact = _fact(thing, "F300", "F327")
    prevents = not_exportable() if thing.is_instance else ""
    sold = _sold_by_aws(thing)
    if sold:
        yield Finding(
            B,
            f"holds software licensed by AWS: {sold}",
            thing.id,
            "Software of others that AWS supplies may not leave it",
            prevents,
            "Only systems under your own licence can be exported",
            fact,
        )
    elif thing.windows:
        yield Finding(
            W,
            "holds Windows, which AWS may refuse to export",
            thing.id,
            "The guides name Windows among what cannot be exported; under your own licence it was allowed before",
            prevents,
            fact=fact,
        )
    if thing.product_codes:
        yield Finding(
            B,
            "comes from the AWS Marketplace",
            thing.id,
            f"Product code {', '.join(thing.product_codes)}",
            prevents,
            "Ask its seller for an image to run elsewhere",
            fact,
        )


def _sold_by_aws(thing: Exportable) -> str:
    """What is licensed by AWS rather than its owner, in AWS's words; "" for nothing, or when it cannot be told."""
    code = thing.usage_operation
    if not code:
        return thing.platform_details if thing.windows and "BYOL" not in thing.platform_details else ""
    values = facts.load("licences")["usage_operations"]["values"]
    own = {entry["code"] for entry in values if _own(entry)}
    if code in own:
        return ""
    named = (str(entry["platform_details"]) for entry in values if entry["code"] == code)
    return thing.platform_details or next(named, code)


def _own(entry: dict[str, str]) -> bool:
    """Whether the code stands for the customer's own licences; those of distributions are a subscription of AWS."""
    return entry.get("windows") != "aws" and entry["sql"] in {"none", "byol"} and entry["os"] in _UNLICENSED


def _disks(thing: Exportable) -> Iterator[Finding]:
    for disk in thing.disks:
        yield from _disk(thing, disk)
    limit = int(facts.limit("export", "instance_virtual_disks_max")["value"])
    if not thing.is_instance:
        return
    if len(thing.ebs_disks) > limit:
        error = facts.error("E16")
        yield Finding(
            B,
            f"has {len(thing.ebs_disks)} volumes, {limit} can be exported",
            thing.id,
            "An instance is exported with its root volume alone",
            str(error["message"]),
            f"{_begun(str(error['remedy']))}. Or: {_MAKE_AN_IMAGE[0].lower()}{_MAKE_AN_IMAGE[1:]}",
            "F305",
        )
    most = int(facts.limit("export", "instance_network_interfaces_max")["value"])
    if thing.interfaces is not None and thing.interfaces > most:
        yield Finding(
            B,
            f"has {thing.interfaces} network interfaces, {most} can be exported",
            thing.id,
            prevents=not_exportable(),
            remedy="Detach all but the primary one",
            fact="F306",
        )


def _disk(thing: Exportable, disk: ExportDisk) -> Iterator[Finding]:
    subject = f"{thing.id} {disk.device}"
    prevents = not_exportable() if thing.is_instance else ""
    if disk.instance_store:
        yield Finding(
            B if thing.is_instance else W,
            "is an instance store",
            subject,
            "It is in the block device mapping; its content is not exported",
            prevents,
            "Take it out of the mapping: create an AMI without it",
            _fact(thing, "F302", "F329"),
        )
        return
    if disk.encrypted:
        yield Finding(
            B,
            "is encrypted",
            subject,
            "Disks with encrypted snapshots cannot be exported",
            prevents,
            "Copy its data to a volume without encryption; a copy of an encrypted snapshot is always encrypted",
            _fact(thing, "F301", "F328"),
        )
    limit_gib = facts.limit("export", "volume_max")["value_tib"] * facts.TIB // facts.GIB
    if disk.size_gib > limit_gib:
        yield Finding(
            B,
            f"has {disk.size_gib} GiB, {limit_gib} can be exported",
            subject,
            prevents=prevents,
            remedy="Move its data to a smaller volume",
            fact=_fact(thing, "F309", "F333"),
        )
    if disk.late:
        yield Finding(
            W,
            "was attached after the launch and is not exported",
            subject,
            "Only volumes of the block device mapping are",
            remedy=_MAKE_AN_IMAGE,
            fact="F303",
        )
    if disk.snapshot_exists is False:
        yield Finding(
            B,
            f"its snapshot {disk.snapshot_id} is gone",
            subject,
            "The AMI is no longer whole",
            prevents,
            _MAKE_AN_IMAGE if thing.is_instance else "Choose an AMI whose snapshots exist",
            _fact(thing, "F304", "F326"),
        )


def _origin(thing: Exportable) -> Iterator[Finding]:
    """Where it comes from: its owner, and the AMI of an instance."""
    shared = _fact(thing, "F307", "F331")
    if thing.owner and thing.account and thing.owner != thing.account:
        yield Finding(
            B,
            f"belongs to the account {thing.owner}",
            thing.id,
            "What another account shares cannot be exported",
            not_exportable() if thing.is_instance else "",
            "Export it with that account" if thing.is_instance else "Export it with that account, or copy the image",
            shared,
        )
    if not thing.is_instance:
        if len(thing.ebs_disks) > 1:
            yield Finding(I, "only the EBS volumes of its block device mapping are exported", thing.id, fact="F330")
        return
    if thing.image_exists is False:
        yield Finding(
            B,
            f"its AMI {thing.image_id} is gone",
            thing.id,
            "AWS needs the image it was launched from",
            not_exportable(),
            _MAKE_AN_IMAGE,
            "F304",
        )
    elif thing.image_owner and thing.account and thing.image_owner != thing.account:
        yield Finding(
            W if thing.image_owner in _AMAZON else B,
            f"its AMI {thing.image_id} is shared by the account {thing.image_owner}",
            thing.id,
            "What another account shares cannot be exported",
            not_exportable(),
            _MAKE_AN_IMAGE,
            shared,
        )
    elif thing.image_imported is False:
        yield Finding(
            I,
            "was not imported",
            thing.id,
            "The newest guide lets most instances be exported, older ones only those that were imported",
            str(facts.error("E17")["older_message"]),
            f"If AWS refuses: {_MAKE_AN_IMAGE[0].lower()}{_MAKE_AN_IMAGE[1:]}",
            "F271",
        )


def _architecture(thing: Exportable) -> Iterator[Finding]:
    if thing.architecture == "i386":
        i386 = facts.load("guests")["operating_systems"]["architecture"]["i386"]
        yield Finding(
            B,
            f"it is a 32-bit system, which is not supported since {i386['unsupported_from']}",
            thing.id,
            f"Since then {i386['words']}",
            remedy="Copy its data to a 64-bit system, and export that",
            fact="F045",
        )


def _boot(thing: Exportable) -> Iterator[Finding]:
    mixed = thing.boot_mode == _BIOS_AND_UEFI
    if thing.windows:
        return
    yield Finding(
        W if mixed else I,
        "starts by UEFI and by BIOS" if mixed else "must not be set up to start by BIOS and by UEFI both",
        thing.id,
        "GRUB 2 may be enabled for one of them only",
        remedy="Remove the one that is not used",
        fact=_fact(thing, "F311", "F333"),
    )


def _tasks(thing: Exportable) -> Iterator[Finding]:
    if thing.running:
        per_image = int(facts.limit("export", "concurrent_image_exports_per_ami")["value"])
        enough = not thing.is_instance and len(thing.running) >= per_image
        yield Finding(
            B if enough else W,
            f"is being exported already by {', '.join(thing.running)}",
            thing.id,
            f"{per_image} export of an AMI at a time" if enough else "",
            remedy="Wait for it, or cancel it",
            fact="F332" if enough else "F308",
        )
    limit = facts.limit("export", "concurrent_conversion_tasks_per_region_default")
    if thing.active_tasks is not None and thing.active_tasks >= limit["value"]:
        yield Finding(
            W,
            f"{thing.active_tasks} tasks run in {thing.region}, {limit['value']} are usual",
            "account",
            f"AWS may refuse more; up to {limit['adjustable_to']} on request",
            remedy="Wait until one has ended",
            fact=_fact(thing, "F308", "F333"),
        )


# -- the plan


def _blocker(what: str, subject: str, remedy: str, fact: str = "", prevents: str = "") -> Finding:
    return Finding(B, what, subject, remedy=remedy, fact=fact, prevents=prevents)


def _format(plan: ExportPlan) -> Iterator[Finding]:
    if not plan.is_instance:
        if plan.container:
            yield _blocker(
                "an image cannot be exported as OVA", plan.source_id, "Export it as VMDK, then convert that", "F324"
            )
        return
    if not plan.target_environment:
        yield _blocker("no target environment was chosen", plan.source_id, "vmware, citrix or microsoft", "F299")
        return
    if (plan.format, plan.container, plan.target_environment) not in instance_formats():
        wanted = f"{plan.container or plan.format.value} for {plan.target_environment.value}".upper()
        allowed = ", ".join(_words(*entry) for entry in instance_formats())
        yield _blocker(f"there is no {wanted}", plan.source_id, f"Choose one of: {allowed}", "F299")


def _words(form: ExportFormat, container: Container, target: TargetEnvironment) -> str:
    return f"{(container or form.value).upper()} for {target.value}"


def instance_formats() -> tuple[tuple[ExportFormat, Container, TargetEnvironment], ...]:
    """Every documented combination for an instance: its disk format, container and where it is to run."""
    env = TargetEnvironment
    found = []
    for entry in facts.load("formats")["image_formats"]["export_instance"]["formats"]:
        targets = (env.VMWARE,) if "VMware" in entry["compatible_with"] else (env.CITRIX, env.MICROSOFT)
        container = Container(entry.get("container_format") or "")
        found += [(ExportFormat(entry["disk_image_format"]), container, target) for target in targets]
    return tuple(found)


def _target(plan: ExportPlan) -> Iterator[Finding]:
    if not plan.region:
        yield _blocker("no Region was chosen", "target", "Name the Region it is in", "F272")
    if not plan.bucket:
        yield _blocker("no bucket was chosen", "target", "Name a bucket in that Region", "F272")
    elif not BUCKET_NAME.fullmatch(plan.bucket):
        yield _blocker("is no valid bucket name", plan.bucket, "3 to 63 lower-case letters, digits, dots and hyphens")
    if not plan.is_instance and not ROLE_NAME.fullmatch(plan.role_name):
        yield _blocker(
            "is no valid role name", plan.role_name, "Give its name, not its ARN: 64 letters at most", "F323"
        )
    if plan.convert_to and not plan.download_to:
        yield _blocker("what is not downloaded cannot be converted", "download", "Name a folder to download it to")
    longest = int(facts.limit("export", "description_max_chars")["value"])
    if len(plan.description) > longest:
        yield _blocker(f"is longer than {longest} characters", "description", "Shorten it", "X10")
    tags = {f"tag {key}": f"{key}={value}" for key, value in plan.tags.items()}
    yield from check_texts({"description": plan.description, "prefix": plan.prefix, **tags})
    yield from check_tag_names(plan.tags)
