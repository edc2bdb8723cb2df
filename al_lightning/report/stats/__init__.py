"""The statistics of a report, on arrays."""
