"""The zoo: one file per GAN; `_loop.py` is the one adversarial loop."""
