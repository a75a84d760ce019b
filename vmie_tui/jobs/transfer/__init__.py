"""Moving disks: sources (export lease, disk image), targets (S3, OVA, EBS, part objects), progress, samples."""
