"""What operators see of the service: metrics, structured logs, the ids of requests."""
