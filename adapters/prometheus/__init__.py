"""Figures for Prometheus, on an address of their own: no page, no people, nothing to be changed.

| module | content |
| --- | --- |
| ``server`` | ``/metrics``: who may read it, and its answer |
"""
