"""Files of a datastore by HTTP ranges: flat disks and folders."""
