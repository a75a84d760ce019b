"""What is on a disk: partition tables, volumes, file systems, boot loaders, networks."""
