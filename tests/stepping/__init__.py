"""Calls into a server can be let go; what else happens to them is as if they had been awaited."""
