"""Images of the user's own: `folder:PATH` and `zip:PATH` become sets that are decoded once."""
