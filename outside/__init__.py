"""What was not made here: networks, weights and points of others, checked, loaded and measured."""
