"""Audits: compares served values with those that training sees."""
