"""SA-SAM and its relatives for PyTorch, and the curvature measurements that go with them."""
