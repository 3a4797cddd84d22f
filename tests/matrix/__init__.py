"""What each server keeps of the promises, seen: `tox run -e matrix`."""
