"""Classifiers: one file per network; `_train.py` is the one supervised loop."""
