"""One connection, to the microsecond: the promises on a server that does only what it is told."""
