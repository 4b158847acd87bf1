"""What the house tells about itself: logs, metrics, correlation ids; and what it must never tell."""
