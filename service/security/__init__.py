"""Who may ask what: tokens, sessions of the page, the gate before every request, the audit log."""
