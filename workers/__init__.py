"""What runs on the cluster: the specification of a sweep, the driver and the trials."""
