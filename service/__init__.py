"""The HTTP service, its page, its command line and its client."""
