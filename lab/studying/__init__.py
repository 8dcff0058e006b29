"""Planning a study, running it, drawing its report, and searching its settings."""
