"""Fingerprints of a run besides its settings, as text and digests."""
