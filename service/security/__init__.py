"""Access control: tokens, login sessions, roles, the gate in front of all requests, audit log."""
