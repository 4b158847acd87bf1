"""Money under failures, measured against the upstream's own meter: `make money` runs all of it and writes the page, CI a part."""
