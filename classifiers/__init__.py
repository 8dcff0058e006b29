"""Classifiers: one file per network; `_loop.py` is the one supervised loop."""
