"""Attacks: one file each; `_frame.py` runs any of them on images in [0, 1]."""
