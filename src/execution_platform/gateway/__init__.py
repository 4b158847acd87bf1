"""The gateway: HTTP in front of the call kernel."""
