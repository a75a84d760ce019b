"""What an upload is fed from: a host's stream, or a disk in the format wanted, hashed on the way."""
