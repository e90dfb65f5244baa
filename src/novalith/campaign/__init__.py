"""Campaigns: a folder that explains itself, survives being killed, and ends in a ranked table."""
