"""Mode 1: vCenter's machines, preflight reports, and opening a disk image, an object or an EBS snapshot."""
