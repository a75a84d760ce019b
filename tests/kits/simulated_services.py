"""The simulated vCenter and AWS of a test module, and sessions that find no trace of the test before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kits.aws_world import World, world
from tests.kits.vcenter_session import log_in, simulator
from vmie_tui.services.aws.s3 import sender_pool
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.simulators.control import TlsFiles
from vmie_tui.simulators.vcenter.server import VCenterSimulator


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[VCenterSimulator]:
    with simulator(tmp_path_factory.mktemp("vcenter"), tls) as running:
        yield running


@pytest.fixture
def vsphere(vcenter: VCenterSimulator) -> Iterator[VSphere]:
    vcenter.faults.clear()
    vcenter.stats.reset()
    kept = {name: getattr(vcenter.options, name) for name in vcenter.options.__slots__}
    speed = vcenter.clock.speed
    with log_in(vcenter) as session:
        yield session
    vcenter.clock.speed = speed
    for name, value in kept.items():
        setattr(vcenter.options, name, value)


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tls, tmp_path_factory.mktemp("aws")) as made:
        yield made


@pytest.fixture
def aws(shared: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """No fault, nothing counted; what AWS throttles is tried again at once."""
    monkeypatch.setattr(sender_pool, "FIRST_WAIT", 0.01)
    shared[0].faults.clear()
    shared[0].stats.reset()
    return shared
