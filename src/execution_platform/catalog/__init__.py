"""What is known of models: their profiles and their prices."""
