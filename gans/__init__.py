"""The zoo: one file per GAN; `_train.py` is the one adversarial loop."""
