"""A container registry on this machine: the CNCF Distribution project's own program, which Docker Hub runs too."""
