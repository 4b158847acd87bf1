"""How failing upstreams are treated: pauses, retry budgets, breakers, cool-downs and bulkheads. Knows no provider."""
