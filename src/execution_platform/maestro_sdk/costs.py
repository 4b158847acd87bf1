"""List prices under their older path; they live in `execution_platform.router.costs`."""

from execution_platform.router.costs import PRICING, compute_cost

__all__ = ["PRICING", "compute_cost"]
