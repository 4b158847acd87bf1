"""Rate and token limits: what may pass in a minute, shared by replicas when they have a Redis."""
