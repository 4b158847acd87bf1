"""The books: what is held before a call leaves, and what it cost when it is over."""
