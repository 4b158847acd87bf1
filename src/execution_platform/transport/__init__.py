"""The way out to providers: one pool of connections, one place where time limits and caps are kept."""
