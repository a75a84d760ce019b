"""NFC: export and import leases, their keepalive, disk download and upload."""
