"""Configuration: the environment, the file, the older files, and the checked values they become."""
