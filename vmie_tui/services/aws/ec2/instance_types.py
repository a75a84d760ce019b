"""Picks an instance type for a machine by vCPUs, memory, architecture and boot mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.session import Aws

PAGE = 100  # the most DescribeInstanceTypes gives at once
FAMILIES = (  # the usual ones, the first preferred among types of one size
    "t3",
    "t3a",
    "t4g",
    "t2",
    "m5",
    "m6i",
    "m6g",
    "m4",
    "c5",
    "c6i",
    "c6g",
    "c4",
    "r5",
    "r6i",
    "r6g",
    "r4",
)
SPECIAL = ("GpuInfo", "FpgaInfo", "InferenceAcceleratorInfo", "MediaAcceleratorInfo", "NeuronInfo")
MODES: dict[str, tuple[str, ...]] = {"uefi-preferred": ("uefi", "legacy-bios")}
MEMORY_WEIGHT = 0.25  # of a GiB, against one vCPU: about how their prices go


@dataclass(frozen=True, slots=True)
class InstanceType:
    """``nitro``: shows its disks as NVMe and its network card as ENA, so the guest needs drivers for both (F234)."""

    name: str
    cpus: int
    memory_mib: int
    architectures: tuple[str, ...] = ()
    boot_modes: tuple[str, ...] = ()
    nitro: bool = True

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]


def instance_types(aws: Aws, region: str | None, **filters: str | list[str]) -> Iterator[InstanceType]:
    """The Region's current types without special hardware; ``filters`` by EC2's names with ``_`` for ``-``."""
    wanted = {"current_generation": "true", "bare_metal": "false", "supported_root_device_type": "ebs", **filters}
    arguments: dict[str, Any] = {
        "MaxResults": PAGE,
        "Filters": [
            {"Name": key.replace("_", "-"), "Values": [value] if isinstance(value, str) else value}
            for key, value in wanted.items()
        ],
    }
    client = aws.client("ec2", region)
    with aws_call("list the instance types", region or aws.region):
        while True:
            page = client.describe_instance_types(**arguments)
            for data in page.get("InstanceTypes", ()):
                if not any(data.get(name) for name in SPECIAL):
                    yield _type_of(data)
            if not page.get("NextToken"):
                return
            arguments["NextToken"] = page["NextToken"]


def pick_instance_type(  # noqa: PLR0917 - what a machine is known by
    aws: Aws,
    region: str | None,
    cpus: int,
    memory_mib: int,
    architecture: str = "x86_64",
    boot_mode: str | None = None,
    *,
    ena: bool = True,
) -> InstanceType:
    """The smallest common type with enough vCPUs and memory that can boot the machine; any type if there is none.

    ``boot_mode``: as the AMI has it; without one an x86 image starts by BIOS. ``ena``: False for a guest without ENA
    and NVMe drivers, which starts on Xen types only. Raises ServiceError REFUSED when there is none.
    """
    mode = boot_mode or ("uefi" if architecture == "arm64" else "legacy-bios")
    modes = MODES.get(mode, (mode,))
    filters: dict[str, str | list[str]] = {} if ena else {"hypervisor": "xen"}

    def fits(found: InstanceType) -> bool:  # the boot modes too: not every Region's API knows a filter for them
        known = architecture in found.architectures and set(modes) & set(found.boot_modes)
        return bool(known) and found.cpus >= cpus and found.memory_mib >= memory_mib

    usual = [f"{family}.*" for family in FAMILIES]
    fitting = [found for found in instance_types(aws, region, instance_type=usual, **filters) if fits(found)]
    if not fitting:
        fitting = [found for found in instance_types(aws, region, **filters) if fits(found)]
    if not fitting:
        how = f", boot mode {mode}"
        drivers = "" if ena else ", without ENA"
        raise ServiceError(
            ErrorKind.REFUSED,
            f"no instance type of {region or aws.region} has {cpus} vCPUs, {memory_mib} MiB of memory, "
            f"{architecture}{how}{drivers}",
            remedy="Name an instance type to try the launch with",
        )
    return min(fitting, key=_preference)


def _preference(found: InstanceType) -> tuple[bool, float, int, str]:
    rank = FAMILIES.index(found.family) if found.family in FAMILIES else len(FAMILIES)
    return not found.nitro, found.cpus + found.memory_mib / 1024 * MEMORY_WEIGHT, rank, found.name


def _type_of(data: Mapping[str, Any]) -> InstanceType:
    return InstanceType(
        str(data["InstanceType"]),
        int((data.get("VCpuInfo") or {}).get("DefaultVCpus") or 0),
        int((data.get("MemoryInfo") or {}).get("SizeInMiB") or 0),
        tuple((data.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ()),
        tuple(data.get("SupportedBootModes") or ()),
        data.get("Hypervisor") != "xen",
    )
