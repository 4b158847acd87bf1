"""Who calls: gateway keys, tenants, people and roles, and the trail of what they changed."""
