"""``al-lightning check``: the contract of query strategies, as properties that any strategy can be held to."""
