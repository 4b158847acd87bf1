"""Measurements of what one process bears: many streams, slow readers, overload, reloads, hours of work. `make load` runs them."""
