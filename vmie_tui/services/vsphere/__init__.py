"""vSphere by pyVmomi: sessions, TLS, inventory, machines, snapshots, changed blocks, deployment."""
