"""Servers, stand-ins and prepared services that tests of several folders share.

Tests import classes and functions from here, never from a ``conftest``. ``tests/conftest.py``
offers the servers to all tests, so those modules import what is slow to import where they use it.
"""
