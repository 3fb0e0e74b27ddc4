"""Answers: rows of the online tables as values, times and bytes."""
