"""How the skeleton guests of the demo are made: trees of files, file systems, partition tables, packing."""
