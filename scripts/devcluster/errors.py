"""The one exception of the dev cluster: what stands in the way, and what to do."""


class DevClusterError(Exception):
    """Said to the person in one line; the command then exits with 1."""
