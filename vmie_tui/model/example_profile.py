"""What a profile reads like in the configuration file, for whoever has none yet."""

from __future__ import annotations

EXAMPLE = (
    "[profiles.prod.vcenter]",
    'host = "vcenter.corp"',
    'user = "svc-mig@vsphere.local"',
    "[profiles.prod.aws]",
    'region = "eu-west-1"',
    'bucket = "migration-eu-west-1"',
)
