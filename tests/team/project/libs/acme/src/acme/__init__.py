"""The team's library: too large to travel, they say."""
