"""Fail by an error that nobody foresaw."""

from tasks._number import Config as Config


def run(folder):
    """Do it."""
    raise ValueError("this cell always fails")
