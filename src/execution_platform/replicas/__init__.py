"""What the replicas of one gateway tell each other through Redis. It accelerates and never decides."""
