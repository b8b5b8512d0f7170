"""What needs no training, or little: the methods that every figure of ours stands beside."""
