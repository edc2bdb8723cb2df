"""What a run is of besides its settings, as text and digests."""
