"""IAM and KMS: the service role and its probes, policy documents, keys."""
