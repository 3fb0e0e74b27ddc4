"""Entity rows of one's own for a training set: files, frames and queries, streamed."""
