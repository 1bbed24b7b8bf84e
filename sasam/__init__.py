"""SA-SAM and its relatives for PyTorch, and the curvature measurements that go with them."""

from sasam.optimizers import SAM, SASAM, SASGD

__all__ = ["SAM", "SASAM", "SASGD"]
