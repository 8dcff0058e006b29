"""The frame of every training loop: where it goes on from, what it draws, in which arithmetic, whom it tells."""
