"""The check of requirements under its older path; it lives in `execution_platform.router.capabilities`."""

from execution_platform.exceptions import RequirementError
from execution_platform.router.capabilities import ensure_requirements

__all__ = ["RequirementError", "ensure_requirements"]
