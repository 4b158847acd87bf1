"""The call kernel: every way into the house passes here, and only here do calls leave it."""
