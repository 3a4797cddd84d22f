"""Observers: what they are told, when, and that they harm nothing."""
