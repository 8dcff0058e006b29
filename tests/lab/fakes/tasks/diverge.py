"""Fail as a training whose loss became infinite does."""

from lab.errors import DivergedError
from tasks._number import Config as Config


def run(folder):
    """Do it."""
    raise DivergedError("the loss is infinite")
