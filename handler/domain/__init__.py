"""What the service is about: threads, runs, leases and their states, free of any framework."""
