"""Measurements: `make speed`, `make bench`, and the programs behind them."""
