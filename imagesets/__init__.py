"""The image sets: one file each, with `SPEC`, `fingerprint` and `load`."""
