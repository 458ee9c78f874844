"""The bench: us and the peers in turn, in one run. `bench/run.py` is the command."""
