"""The simulated vCenter: SOAP, leases, datastore files, snapshots, changed blocks."""
