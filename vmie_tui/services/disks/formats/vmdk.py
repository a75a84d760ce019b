"""The VMDK codec's public names."""

from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.formats.probe import DiskInfo, probe
from vmie_tui.services.disks.formats.vmdk_read import VmdkReader
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.services.disks.formats.vmdk_write import Encoded, encode

__all__ = ["DiskFormatError", "DiskInfo", "Encoded", "StreamDecoder", "VmdkReader", "encode", "probe"]
