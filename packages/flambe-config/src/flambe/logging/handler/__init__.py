"""Handlers of Python's logging that know records of data."""
