"""The simulated AWS: moto, with VM Import/Export, S3 and EBS direct of our own."""
