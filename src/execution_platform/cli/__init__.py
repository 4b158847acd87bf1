"""The command `ep`."""
