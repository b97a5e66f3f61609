"""A real single-node Kubernetes for development, on a bare Debian 12 machine."""
