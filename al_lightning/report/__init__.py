"""Statistics of a study: paired seeds, tests, intervals, learning curves and what was queried."""
