"""vCenter's properties of a virtual machine, derived from its state."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.vcenter.hardware import crypto_key, devices, mac_address
from vmie_tui.simulators.vcenter.machine import Machine, SnapshotNode, VmDisk
from vmie_tui.simulators.vcenter.values import data, moment, shared

STARTED = moment(1_760_000_000)  # a date for what happened before the simulation
TOOLS_VERSION = {
    "toolsOk": "guestToolsCurrent",
    "toolsOld": "guestToolsNeedUpgrade",
    "toolsNotRunning": "guestToolsCurrent",
    "toolsNotInstalled": "guestToolsNotInstalled",
}
FLAGS = shared(data(vim.vm.FlagInfo, enableLogging=True, monitorType="release", snapshotDisabled=False))
POWER_OPERATIONS = shared(data(vim.vm.DefaultPowerOpInfo, powerOffType="soft", suspendType="hard", resetType="soft"))
TOOLS = shared(data(vim.vm.ToolsConfigInfo, toolsVersion=12389, toolsUpgradePolicy="manual"))
HANDED = "poweredOff"


def home(machine: Machine) -> str:
    """The machine's folder on its datastore."""
    store = "" if machine.datastore is None else machine.datastore.name
    return f"[{store}] {machine.home}"


def config(machine: Machine, snapshot: SnapshotNode | None = None) -> Any:
    """vim.vm.ConfigInfo of now or of a snapshot; unset for a machine vCenter cannot reach."""
    spec = machine.spec
    if spec.connection in ("inaccessible", "invalid", "orphaned"):
        return None
    folder = home(machine)
    files = data(
        vim.vm.FileInfo,
        vmPathName=f"{folder}/{spec.name}.vmx",
        snapshotDirectory=f"{folder}/",
        logDirectory=f"{folder}/",
    )
    hardware = data(
        vim.vm.VirtualHardware,
        numCPU=spec.cpus,
        numCoresPerSocket=1,
        memoryMB=spec.memory_mib,
        virtualICH7MPresent=False,
        virtualSMCPresent=False,
        device=devices(machine, snapshot),
    )
    boot = data(vim.vm.BootOptions, bootDelay=0, efiSecureBootEnabled=spec.secure_boot, networkBootProtocol="ipv4")
    return data(
        vim.vm.ConfigInfo,
        changeVersion="2025-10-09T08:53:20.000000Z",
        modified=STARTED,
        name=machine.label,
        guestFullName=spec.guest_name,
        version=spec.hardware,
        uuid=machine.bios_uuid,
        instanceUuid=machine.instance_uuid,
        template=False,
        guestId=spec.guest_id,
        alternateGuestName="",
        annotation=spec.annotation,
        files=files,
        tools=TOOLS,
        flags=FLAGS,
        defaultPowerOps=POWER_OPERATIONS,
        hardware=hardware,
        bootOptions=boot,
        changeTrackingEnabled=machine.cbt,
        firmware="efi" if spec.firmware in ("uefi", "efi") else "bios",
        nestedHVEnabled=False,
        extraConfig=[data(vim.option.OptionValue, key=key, value=text) for key, text in machine.extra.items()],
        keyId=crypto_key() if spec.encrypted else None,
    )


def capability(machine: Machine) -> Any:
    return data(
        vim.vm.Capability,
        snapshotOperationsSupported=True,
        quiescedSnapshotsSupported=True,
        changeTrackingSupported=machine.trackable,
    )


def runtime(machine: Machine) -> Any:
    spec = machine.spec
    on = machine.power == "poweredOn"
    return data(
        vim.vm.RuntimeInfo,
        host=None if machine.host is None else machine.host.ref,
        connectionState=spec.connection,
        powerState=machine.power,
        faultToleranceState="notConfigured",
        bootTime=(machine.power_since or STARTED) if on else None,
        suspendTime=(machine.power_since or STARTED) if machine.power == "suspended" else None,
        maxCpuUsage=spec.cpus * 2600,
        maxMemoryUsage=spec.memory_mib,
        recordReplayState="inactive",
        cleanPowerOff=machine.power == HANDED,
        consolidationNeeded=machine.consolidate,
        paused=False,
        cryptoState="safe" if spec.encrypted else None,
    )


def _tools_status(machine: Machine) -> str:
    installed = machine.spec.tools
    return installed if machine.running() or installed == "toolsNotInstalled" else "toolsNotRunning"


def _host_name(machine: Machine) -> str:
    return machine.spec.name.lower().replace(" ", "-").replace("_", "-")


def _addresses(machine: Machine) -> list[str]:
    return [address for nic in machine.spec.nics for address in nic.addresses]


def guest(machine: Machine) -> Any:
    """vim.vm.GuestInfo: what VMware Tools say, and of a machine that is off what they said last."""
    spec = machine.spec
    running = machine.running()
    known = spec.tools != "toolsNotInstalled"
    addresses = _addresses(machine) if running else []
    windows = spec.guest_id.lower().startswith("win")
    return data(
        vim.vm.GuestInfo,
        toolsStatus=_tools_status(machine),
        toolsVersionStatus=TOOLS_VERSION[spec.tools],
        toolsVersionStatus2=TOOLS_VERSION[spec.tools],
        toolsRunningStatus="guestToolsRunning" if running else "guestToolsNotRunning",
        toolsVersion="12389" if known else "0",
        guestId=spec.guest_id if known and spec.tools_guest_name else None,
        guestFamily=("windowsGuest" if windows else "linuxGuest") if known and spec.tools_guest_name else None,
        guestFullName=(spec.tools_guest_name or None) if known else None,
        hostName=_host_name(machine) if known else None,
        ipAddress=addresses[0] if addresses else None,
        net=_guest_nics(machine) if running else [],
        disk=_guest_disks(machine, windows) if running else [],
        guestState="running" if running else "notRunning",
        guestOperationsReady=running,
        interactiveGuestOperationsReady=False,
        guestStateChangeSupported=running,
    )


def _guest_nics(machine: Machine) -> list[Any]:
    found = []
    for index, nic in enumerate(machine.spec.nics):
        origin = None if nic.dhcp is None else "dhcp" if nic.dhcp else "manual"
        addresses = [
            data(
                vim.net.IpConfigInfo.IpAddress,
                ipAddress=address,
                prefixLength=64 if ":" in address else 24,
                origin=origin,
                state="preferred",
            )
            for address in nic.addresses
        ]
        dhcp = None
        if nic.dhcp is not None:
            off = data(vim.net.DhcpConfigInfo.DhcpOptions, enable=False)
            dhcp = data(
                vim.net.DhcpConfigInfo, ipv6=off, ipv4=data(vim.net.DhcpConfigInfo.DhcpOptions, enable=nic.dhcp)
            )
        found.append(
            data(
                vim.vm.GuestInfo.NicInfo,
                network=nic.network,
                ipAddress=list(nic.addresses),
                macAddress=mac_address(machine, index),
                connected=nic.connected,
                deviceConfigId=4000 + index,
                ipConfig=data(vim.net.IpConfigInfo, ipAddress=addresses, dhcp=dhcp),
            )
        )
    return found


def _guest_disks(machine: Machine, windows: bool) -> list[Any]:
    found = []
    for index, disk in enumerate(machine.disks):
        path = f"{chr(67 + index % 23)}:\\" if windows else ("/" if index == 0 else f"/data{index}")
        found.append(
            data(
                vim.vm.GuestInfo.DiskInfo,
                diskPath=path,
                capacity=disk.capacity,
                freeSpace=disk.capacity * 2 // 5,
                filesystemType="NTFS" if windows else "ext4",
                mappings=[data(vim.vm.GuestInfo.VirtualDiskMapping, key=disk.key)],
            )
        )
    return found


def _committed(machine: Machine) -> int:
    return sum(disk.capacity * 3 // 5 if disk.spec.thin else disk.capacity for disk in machine.disks)


def summary(machine: Machine) -> Any:
    spec = machine.spec
    folder = home(machine)
    heading = data(
        vim.vm.Summary.ConfigSummary,
        name=machine.label,
        vmPathName=f"{folder}/{spec.name}.vmx",
        memorySizeMB=spec.memory_mib,
        numCpu=spec.cpus,
        numEthernetCards=len(spec.nics),
        numVirtualDisks=len(machine.disks),
        uuid=machine.bios_uuid,
        instanceUuid=machine.instance_uuid,
        guestId=spec.guest_id,
        guestFullName=spec.guest_name,
        annotation=spec.annotation,
        installBootRequired=False,
        tpmPresent=spec.vtpm,
        hwVersion=spec.hardware,
    )
    said = guest(machine)
    inside = data(
        vim.vm.Summary.GuestSummary,
        **{
            name: getattr(said, name)
            for name in ("guestId", "guestFullName", "toolsStatus", "toolsVersionStatus", "toolsVersionStatus2")
        },
        toolsRunningStatus=said.toolsRunningStatus,
        hostName=said.hostName,
        ipAddress=said.ipAddress,
    )
    used = _committed(machine)
    total = sum(disk.capacity for disk in machine.disks)
    stored = data(
        vim.vm.Summary.StorageSummary, committed=used, uncommitted=total - used, unshared=used, timestamp=STARTED
    )
    beat = heartbeat(machine)
    return data(
        vim.vm.Summary,
        vm=machine.ref,
        runtime=runtime(machine),
        guest=inside,
        config=heading,
        storage=stored,
        quickStats=data(vim.vm.Summary.QuickStats, guestHeartbeatStatus=beat, ftLatencyStatus="gray"),
        overallStatus="green",
    )


def heartbeat(machine: Machine) -> str:
    return "green" if machine.running() else "gray"


def storage(machine: Machine) -> Any:
    usage: dict[str, Any] = {}
    for disk in machine.disks:
        used = disk.capacity * 3 // 5 if disk.spec.thin else disk.capacity
        line = usage.setdefault(
            disk.datastore.moid, data(vim.vm.StorageInfo.UsageOnDatastore, datastore=disk.datastore.ref)
        )
        line.__dict__["committed"] += used
        line.__dict__["unshared"] += used
        line.__dict__["uncommitted"] += disk.capacity - used
    return data(vim.vm.StorageInfo, perDatastoreUsage=list(usage.values()), timestamp=STARTED)


def layout_ex(machine: Machine) -> Any:
    """vim.vm.FileLayoutEx: the files on the datastores."""
    folder, name = home(machine), machine.spec.name
    files = [
        data(
            vim.vm.FileLayoutEx.FileInfo, key=0, name=f"{folder}/{name}.vmx", type="config", size=3142, accessible=True
        ),
        data(
            vim.vm.FileLayoutEx.FileInfo, key=1, name=f"{folder}/{name}.nvram", type="nvram", size=8684, accessible=True
        ),
    ]
    layouts = []
    for disk in machine.disks:
        key = len(files)
        used = disk.capacity * 3 // 5 if disk.spec.thin else disk.capacity
        files.append(
            data(
                vim.vm.FileLayoutEx.FileInfo,
                key=key,
                name=disk.file_name,
                type="diskDescriptor",
                size=0,
                accessible=True,
            )
        )
        flat = disk.file_name.removesuffix(".vmdk") + "-flat.vmdk"
        files.append(
            data(vim.vm.FileLayoutEx.FileInfo, key=key + 1, name=flat, type="diskExtent", size=used, accessible=True)
        )
        chain = [data(vim.vm.FileLayoutEx.DiskUnit, fileKey=[key, key + 1])]
        for delta in _deltas(machine, disk):
            key = len(files)
            thin = delta.removesuffix(".vmdk") + "-sesparse.vmdk"
            for name, kind, size in ((delta, "diskDescriptor", 0), (thin, "diskExtent", 1 << 20)):
                one = vim.vm.FileLayoutEx.FileInfo
                files.append(data(one, key=len(files), name=name, type=kind, size=size, accessible=True))
            chain.append(data(vim.vm.FileLayoutEx.DiskUnit, fileKey=[key, key + 1]))
        layouts.append(data(vim.vm.FileLayoutEx.DiskLayout, key=disk.key, chain=chain))
    return data(vim.vm.FileLayoutEx, file=files, disk=layouts, timestamp=STARTED)


def _deltas(machine: Machine, disk: VmDisk) -> list[str]:
    """The files above a disk's first one that the machine reads from, lowest first."""
    names, node = [disk.open_name], machine.current
    while node is not None and disk.key in node.held:
        names.append(node.held[disk.key].file_name)
        node = node.above
    return [name for name in reversed(names) if name != disk.file_name]


def snapshot_info(machine: Machine) -> Any:
    """vim.vm.SnapshotInfo; unset without snapshots."""
    if machine.current is None:
        return None
    return data(
        vim.vm.SnapshotInfo,
        currentSnapshot=machine.current.ref,
        rootSnapshotList=[_branch(machine, node) for node in machine.roots],
    )


def _branch(machine: Machine, node: SnapshotNode) -> Any:
    return data(
        vim.vm.SnapshotTree,
        snapshot=node.ref,
        vm=machine.ref,
        name=node.label,
        description=node.description,
        id=node.number,
        createTime=node.created,
        state=node.power,
        quiesced=node.quiesced,
        replaySupported=False,
        childSnapshotList=[_branch(machine, below) for below in node.below],
    )


def _datastores(machine: Machine) -> list[Any]:
    found = {disk.datastore.moid: disk.datastore.ref for disk in machine.disks}
    if machine.datastore is not None:
        found.setdefault(machine.datastore.moid, machine.datastore.ref)
    return list(found.values())


def _disabled(machine: Machine) -> list[str]:
    """Methods that are currently disabled."""
    if machine.lease is not None:
        return ["PowerOnVM_Task", "Destroy_Task", "UnregisterVM", "MigrateVM_Task", "RelocateVM_Task", "ExportVm"]
    return ["PowerOnVM_Task", "ExportVm"] if machine.power == "poweredOn" else ["PowerOffVM_Task", "ShutdownGuest"]


PROPERTIES: dict[str, Any] = {
    "overallStatus": lambda machine: "green",
    "configStatus": lambda machine: "green",
    "name": lambda machine: machine.label,
    "disabledMethod": _disabled,
    "config": config,
    "capability": capability,
    "layoutEx": layout_ex,
    "storage": storage,
    "resourcePool": lambda machine: None if machine.pool is None else machine.pool.ref,
    "runtime": runtime,
    "guest": guest,
    "summary": summary,
    "datastore": _datastores,
    "network": lambda machine: [network.ref for network in machine.networks],
    "snapshot": snapshot_info,
    "rootSnapshot": lambda machine: [node.ref for node in machine.roots],
    "guestHeartbeatStatus": heartbeat,
}
