"""Audits: served values beside those that training sees."""
