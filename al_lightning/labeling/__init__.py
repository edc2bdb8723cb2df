"""Answers of people: reading them, checking them, and taking them into a run."""
