"""`python -m execution_platform.cli.hive`: what the `claude` file of `ep hive env` starts."""

import sys

from execution_platform.cli.hive.command import main

if __name__ == "__main__":
    sys.exit(main())
