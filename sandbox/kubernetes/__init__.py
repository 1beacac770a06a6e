"""A real Kubernetes on this machine, without its images: built from Go modules, run as processes."""
