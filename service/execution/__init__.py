"""Makes what is wanted real: Ray jobs, MLflow results, the reconciler."""
