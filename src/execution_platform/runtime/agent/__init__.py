"""The agent loop: a model is asked, the tools it calls are run, and it is asked again, until it is done or a limit is reached."""
