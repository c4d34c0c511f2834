"""Runs in a database, SQLite or PostgreSQL."""
