"""What pages show, made of rows: states, sentences, figures, pictures and requests."""
