"""What is raised when a provider lacks a capability, under its older path; it lives in `execution_platform.exceptions`."""

from execution_platform.exceptions import RequirementError

__all__ = ["RequirementError"]
