"""Execution of sweeps: the reconciler, drivers as Ray jobs, results from MLflow."""
