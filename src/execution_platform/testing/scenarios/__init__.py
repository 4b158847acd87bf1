"""The scenarios of the matrix: what users of a chat model do, one by one."""

from execution_platform.testing.scenario import Scenario
from execution_platform.testing.scenarios.answers import ANSWERS
from execution_platform.testing.scenarios.conversation import CONVERSATION
from execution_platform.testing.scenarios.failures import FAILURES
from execution_platform.testing.scenarios.media import MEDIA
from execution_platform.testing.scenarios.thinking import THINKING
from execution_platform.testing.scenarios.tools import TOOLS

SCENARIOS: tuple[Scenario, ...] = (*CONVERSATION, *TOOLS, *MEDIA, *ANSWERS, *THINKING, *FAILURES)

__all__ = ["SCENARIOS"]
