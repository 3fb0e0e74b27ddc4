"""Makes of rows the contents of pages: states, sentences, figures, pictures and requests."""
