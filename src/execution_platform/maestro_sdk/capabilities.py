"""What each provider offers, under its older path; it lives in `execution_platform.router.capabilities`."""

from execution_platform.router.capabilities import PROVIDER_CAPABILITIES as CAPABILITIES

__all__ = ["CAPABILITIES"]
