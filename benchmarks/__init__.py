"""What keepalive costs, measured: `tox run -e bench`."""
