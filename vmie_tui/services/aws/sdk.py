"""The one seam to boto3, botocore and what comes with it (the CRT's checksums, dateutil): loaded at first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmie_tui.services.lazy_libraries import LateModule

if TYPE_CHECKING:
    import boto3
    import botocore.config
    import botocore.exceptions
    import botocore.loaders
    import botocore.parsers
    import botocore.session
    import botocore.utils
    import dateutil.parser
    from awscrt import checksums
else:
    boto3 = LateModule("boto3")
    botocore = LateModule("botocore")
    dateutil = LateModule("dateutil")
    checksums = LateModule("awscrt.checksums")

__all__ = ["boto3", "botocore", "checksums", "dateutil"]
