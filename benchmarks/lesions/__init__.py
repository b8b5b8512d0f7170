"""TP-Seg on lesions: what is trained, against what, and how it is measured."""
