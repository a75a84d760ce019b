"""From a FleetSpec to managed objects: folders, clusters, hosts, datastores, networks and machines."""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from pyVmomi import vim

from vmie_tui.simulators.spec import ClusterSpec, DatacenterSpec, DatastoreSpec, DiskSpec, FleetSpec, VmSpec
from vmie_tui.simulators.vcenter import describe
from vmie_tui.simulators.vcenter.hardware import SCSI, disk_keys, place
from vmie_tui.simulators.vcenter.machine import SPACE, Held, Machine, SnapshotNode, VmDisk
from vmie_tui.simulators.vcenter.registry import Managed
from vmie_tui.simulators.vcenter.shared_state import Center
from vmie_tui.simulators.vcenter.values import data

GIB = 1 << 30
HOST_MEMORY = 512 * GIB
HOST_CORES = 32


@dataclass(slots=True)
class Site:
    """One datacenter's objects by name."""

    folders: dict[tuple[str, ...], Managed] = field(default_factory=dict)
    hosts: dict[str, Managed] = field(default_factory=dict)
    pools: dict[str, Managed] = field(default_factory=dict)
    datastores: dict[str, Managed] = field(default_factory=dict)
    networks: dict[str, Managed] = field(default_factory=dict)
    host_machines: dict[str, list[Any]] = field(default_factory=dict)
    pool_machines: dict[str, list[Any]] = field(default_factory=dict)
    homes: dict[str, int] = field(default_factory=dict)  # a machine's name -> how many machines had it


class Builder:
    """Builds a fleet below the root folder; object ids depend on the fleet alone."""

    def __init__(self, center: Center, root: Managed) -> None:
        self._center, self._registry, self._root = center, center.registry, root
        self._sites: dict[str, Site] = {}

    def build(self, fleet: FleetSpec) -> None:
        for spec in fleet.datacenters:
            self._sites[spec.path] = self._site(spec)
        for machine in fleet.machines:
            self.add_machine(machine)

    def _entity(self, kind: Any, prefix: str, parent: Managed, name: str, **props: Any) -> Managed:
        return self._registry.new(kind, prefix, parent, name=name, overallStatus="green", configStatus="green", **props)

    def _folder(self, parent: Managed, name: str, prefix: str, *holds: Any) -> Managed:
        folder = self._entity(vim.Folder, prefix, parent, name, childType=list(holds))
        folder.props["childEntity"] = lambda: [child.ref for child in folder.children]
        return folder

    def _site_folder(self, path: tuple[str, ...]) -> Managed:
        """The folder of datacenters at ``path`` below the root, made when it is not there yet."""
        node = self._root
        for name in path:
            found = next((child for child in node.children if child.is_a(vim.Folder) and child.name == name), None)
            node = found or self._folder(node, name, "group-d", vim.Folder, vim.Datacenter)
        return node

    def _site(self, spec: DatacenterSpec) -> Site:
        site = Site()
        center = self._entity(vim.Datacenter, "datacenter", self._site_folder(spec.folder), spec.name)
        machines = self._folder(center, "vm", "group-v", vim.Folder, vim.VirtualMachine, vim.VirtualApp)
        hosts = self._folder(center, "host", "group-h", vim.Folder, vim.ComputeResource)
        stores = self._folder(center, "datastore", "group-s", vim.Folder, vim.Datastore, vim.StoragePod)
        networks = self._folder(center, "network", "group-n", vim.Folder, vim.Network, vim.DistributedVirtualSwitch)
        center.props.update(
            vmFolder=machines.ref, hostFolder=hosts.ref, datastoreFolder=stores.ref, networkFolder=networks.ref
        )
        site.folders[()] = machines
        for store in spec.datastores:
            site.datastores[store.name] = self._datastore(stores, spec.path, store)
        for name in spec.networks:
            made = self._entity(vim.Network, "network", networks, name)
            made.props["summary"] = data(vim.Network.Summary, network=made.ref, name=name, accessible=True)
            site.networks[name] = made
        center.props.update(
            datastore=[one.ref for one in site.datastores.values()], network=[one.ref for one in site.networks.values()]
        )
        for cluster in spec.clusters:
            self._cluster(hosts, cluster, site)
        return site

    def _datastore(self, parent: Managed, site: str, spec: DatastoreSpec) -> Managed:
        ident = str(uuid.uuid5(SPACE, f"datastore {site}/{spec.name}"))
        url = f"ds:///vmfs/volumes/{ident}/"
        made = self._entity(vim.Datastore, "datastore", parent, spec.name)
        made.props["summary"] = data(
            vim.Datastore.Summary,
            datastore=made.ref,
            name=spec.name,
            url=url,
            capacity=spec.capacity,
            freeSpace=spec.free,
            uncommitted=spec.capacity // 4,
            accessible=True,
            multipleHostAccess=True,
            type=spec.type,
            maintenanceMode="normal",
        )
        made.props["info"] = data(
            vim.Datastore.Info,
            name=spec.name,
            url=url,
            freeSpace=spec.free,
            maxFileSize=64 << 40,
            maxVirtualDiskCapacity=62 << 40,
            timestamp=describe.STARTED,
        )
        return made

    def _cluster(self, parent: Managed, spec: ClusterSpec, site: Site) -> None:
        cluster = self._entity(vim.ClusterComputeResource, "domain-c", parent, spec.name)
        pool = self._entity(vim.ResourcePool, "resgroup", cluster, "Resources", owner=cluster.ref)
        site.pools[spec.name] = pool
        members: list[Any] = site.pool_machines.setdefault(spec.name, [])
        pool.props["vm"] = lambda: list(members)
        pool.props.update(_pool_figures(pool, len(spec.hosts)))
        made = [self._host(cluster, name, site) for name in spec.hosts]
        stores = [one.ref for one in site.datastores.values()]
        networks = [one.ref for one in site.networks.values()]
        cluster.props.update(resourcePool=pool.ref, host=[one.ref for one in made], datastore=stores, network=networks)
        count = len(made)
        cluster.props["summary"] = data(
            vim.ClusterComputeResource.Summary,
            totalCpu=2600 * HOST_CORES * count,
            totalMemory=HOST_MEMORY * count,
            numCpuCores=HOST_CORES * count,
            numCpuThreads=2 * HOST_CORES * count,
            effectiveCpu=2400 * HOST_CORES * count,
            effectiveMemory=(HOST_MEMORY >> 20) * count,
            numHosts=count,
            numEffectiveHosts=count,
            overallStatus="green",
        )

    def _host(self, cluster: Managed, name: str, site: Site) -> Managed:
        host = self._entity(vim.HostSystem, "host", cluster, name)
        site.hosts[name] = host
        members: list[Any] = site.host_machines.setdefault(name, [])
        state = data(
            vim.host.RuntimeInfo,
            connectionState="connected",
            powerState="poweredOn",
            inMaintenanceMode=False,
            bootTime=describe.STARTED,
        )
        about = data(vim.host.Summary.ConfigSummary, name=name, port=443, vmotionEnabled=True)
        box = data(
            vim.host.Summary.HardwareSummary,
            vendor="Dell Inc.",
            model="PowerEdge R760",
            uuid=str(uuid.uuid5(SPACE, f"host {name}")),
            memorySize=HOST_MEMORY,
            cpuModel="Intel(R) Xeon(R) Gold 6430",
            cpuMhz=2600,
            numCpuPkgs=2,
            numCpuCores=HOST_CORES,
            numCpuThreads=2 * HOST_CORES,
            numNics=4,
            numHBAs=2,
        )
        host.props.update(
            runtime=state,
            summary=data(
                vim.host.Summary,
                host=host.ref,
                hardware=box,
                runtime=state,
                config=about,
                quickStats=data(vim.host.Summary.QuickStats),
                overallStatus="green",
            ),
            vm=lambda: list(members),
            datastore=[one.ref for one in site.datastores.values()],
            network=[one.ref for one in site.networks.values()],
        )
        return host

    def _machine_folder(self, site: Site, path: tuple[str, ...]) -> Managed:
        found = site.folders.get(path)
        if found is None:
            parent = self._machine_folder(site, path[:-1])
            found = self._folder(parent, path[-1], "group-v", vim.Folder, vim.VirtualMachine, vim.VirtualApp)
            site.folders[path] = found
        return found

    # ---- where an import is to go; each raises KeyError for what is not there

    def place_of(self, pool: Managed) -> tuple[str, str]:
        """(datacenter, cluster) of a cluster's resource pool."""
        for name, site in self._sites.items():
            for cluster, one in site.pools.items():
                if one is pool:
                    return name, cluster
        raise KeyError(pool.name)

    def machine_folder(self, datacenter: str) -> Managed:
        """The datacenter's own folder of machines."""
        return self._sites[datacenter].folders[()]

    def folder_path(self, datacenter: str, folder: Managed) -> tuple[str, ...]:
        for path, one in self._sites[datacenter].folders.items():
            if one is folder:
                return path
        raise KeyError(folder.name)

    def datastore(self, datacenter: str, name: str) -> Managed:
        return self._sites[datacenter].datastores[name]

    def network(self, datacenter: str, name: str) -> Managed:
        return self._sites[datacenter].networks[name]

    def first_host(self, cluster: str, datacenter: str) -> Managed:
        pool = self._sites[datacenter].pools[cluster]
        return next(host for host in self._sites[datacenter].hosts.values() if host.parent is pool.parent)

    def add_machine(self, spec: VmSpec, *, fresh: bool = False) -> Machine:
        """Put one machine in place; raises KeyError when its datacenter, host, cluster or datastore is not there.

        ``fresh``: with an identity of its own, not the one that follows from its place.
        """
        site = self._sites[spec.datacenter]
        folder = self._machine_folder(site, spec.folder)
        machine = Machine(self._registry.new_id("vm"), folder, spec, describe.PROPERTIES)
        machine.life = self._center.life
        if twins := sum(child.name == spec.name for child in folder.children) - 1:  # as on an ESXi host
            place = "/".join((spec.datacenter, *spec.folder, spec.name, str(twins)))
            machine.instance_uuid = str(uuid.uuid5(SPACE, f"instance {place}"))
            machine.bios_uuid = str(uuid.uuid5(SPACE, f"bios {place}"))
        if fresh:
            machine.instance_uuid, machine.bios_uuid = str(uuid.uuid4()), str(uuid.uuid4())
        machine.host, machine.pool = site.hosts[spec.host], site.pools[spec.cluster]
        machine.datastore = site.datastores[spec.datastore]
        machine.home = self._free_home(site, spec.name)
        machine.networks = [site.networks[nic.network] for nic in spec.nics if nic.network in site.networks]
        site.host_machines[spec.host].append(machine.ref)
        site.pool_machines[spec.cluster].append(machine.ref)
        self._add_disks(machine, site)
        self._registry.add(machine)
        for number in range(spec.snapshots):
            self._old_snapshot(machine, number + 1)
        return machine

    def _free_home(self, site: Site, name: str) -> str:
        """A folder of files for a machine of this name; hosts number those of one name."""
        taken = site.homes.get(name, 0)
        site.homes[name] = taken + 1
        return f"{name}_{taken}" if taken else name

    def forget_machine(self, machine: Machine) -> None:
        """Removes a machine from its host and pool."""
        site = self._sites[machine.spec.datacenter]
        for members in (site.host_machines[machine.spec.host], site.pool_machines[machine.spec.cluster]):
            if machine.ref in members:
                members.remove(machine.ref)

    def move_machine(self, machine: Machine) -> None:
        """vMotion to the next host of the cluster; raises ValueError when there is no other."""
        site = self._sites[machine.spec.datacenter]
        here = machine.spec.host
        hosts = [name for name, host in site.hosts.items() if host.parent is site.hosts[here].parent]
        if len(hosts) < 2:
            raise ValueError(f"{here} is the only host of {machine.spec.cluster}")
        there = hosts[(hosts.index(here) + 1) % len(hosts)]
        site.host_machines[here].remove(machine.ref)
        site.host_machines[there].append(machine.ref)
        machine.spec, machine.host = replace(machine.spec, host=there), site.hosts[there]
        for name in (here, there):
            self._registry.touch(site.hosts[name])

    def relocate(self, machine: Machine, datastore: str) -> None:
        """Storage vMotion to a datastore, "" for another of the same kind. Raises ValueError when there is none."""
        stores = self._sites[machine.spec.datacenter].datastores
        here = machine.spec.datastore
        kind = stores[here].value("summary").type
        fitting = [store for store in stores.values() if store.name != here and store.value("summary").type == kind]
        if datastore:
            fitting = [store for name, store in stores.items() if name == datastore]
        if not fitting:
            raise ValueError(f"no other datastore for {machine.name}")
        store = fitting[0]

        def moved(file_name: str) -> str:
            return f"[{store.name}]{file_name.partition(']')[2]}" if file_name else ""

        for disk in machine.disks:
            disk.datastore, disk.file_name, disk.delta = store, moved(disk.file_name), moved(disk.delta)
        for node in machine.snapshots():
            for held in node.held.values():
                held.file_name = moved(held.file_name)
            node.config = functools.partial(describe.config, machine, node)
            self._registry.touch(node)
        machine.spec, machine.datastore = replace(machine.spec, datastore=store.name), store

    def _add_disks(self, machine: Machine, site: Site) -> None:
        used: dict[str, int] = {}
        folder = self._center.root / "disks" / machine.instance_uuid
        for number, spec in enumerate(machine.spec.disks):
            family = "scsi" if spec.controller in SCSI else spec.controller
            index = used.get(family, 0)
            used[family] = index + 1
            machine.disks.append(self._disk(machine, site, spec, number, place(spec.controller, index), folder))

    def _disk(
        self, machine: Machine, site: Site, spec: DiskSpec, number: int, spot: tuple[int, int], folder: Any
    ) -> VmDisk:
        key, controller_key = disk_keys(spec.controller, spot)
        store = site.datastores[spec.datastore or machine.spec.datastore]
        suffix = f"_{number}" if number else ""
        return VmDisk(
            spec=spec,
            key=key,
            controller_key=controller_key,
            place=spot,
            label=f"Hard disk {number + 1}",
            datastore=store,
            file_name=f"[{store.name}] {machine.home}/{machine.spec.name}{suffix}.vmdk",
            folder=folder,
            ident=str(uuid.uuid5(SPACE, f"disk {machine.instance_uuid} {key}")),
            capacity=spec.capacity,
        )

    def _old_snapshot(self, machine: Machine, number: int) -> None:
        """A snapshot somebody took before the simulation began."""
        above = machine.current
        node = SnapshotNode(self._registry.new_id("snapshot"), machine, above)
        node.label = f"before patch {number}"
        node.description = "taken by hand"
        node.number, node.created, node.power = number, describe.STARTED, machine.power
        node.config = functools.partial(describe.config, machine, node)
        for disk in machine.disks:
            if not disk.independent:
                node.held[disk.key] = Held(disk.content.freeze(), None, 0, disk.open_name)
        (machine.roots if above is None else above.below).append(node)
        machine.current, machine.snapshot_count = node, number
        for disk in machine.disks:
            if not disk.independent:
                machine.grow_chain(disk)
        self._registry.add(node)


def _pool_figures(pool: Managed, hosts: int) -> dict[str, Any]:
    """What a cluster's own resource pool has to give, all of it unreserved and half of it in use."""
    kinds = vim.ResourcePool
    total = {"cpu": 2600 * HOST_CORES * hosts, "memory": HOST_MEMORY * hosts}
    usage = {
        name: data(
            kinds.ResourceUsage,
            unreservedForPool=most,
            unreservedForVm=most,
            overallUsage=most // 2,
            maxUsage=most,
        )
        for name, most in total.items()
    }
    shares = data(vim.SharesInfo, shares=4000, level="normal")
    cpu, memory = (
        data(vim.ResourceAllocationInfo, reservation=most, expandableReservation=True, limit=-1, shares=shares)
        for most in (total["cpu"], total["memory"] >> 20)
    )
    config = data(vim.ResourceConfigSpec, entity=pool.ref, cpuAllocation=cpu, memoryAllocation=memory)
    return {"config": config, "runtime": data(kinds.RuntimeInfo, **usage, overallStatus="green")}
