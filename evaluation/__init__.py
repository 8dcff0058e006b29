"""Images of any origin, compared in any feature space by every measure."""
