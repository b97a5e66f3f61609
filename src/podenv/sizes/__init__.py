"""Proposed sizes, written where they belong: into the calls of DAG files, and into environments' values."""
