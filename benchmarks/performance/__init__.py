"""What K-Prism costs on this machine, every figure in the units that compare: see __main__."""
