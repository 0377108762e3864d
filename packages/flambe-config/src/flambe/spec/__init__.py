"""The spec: what is to be run. Its forms are in ``nodes``, reading and writing in ``codec``, equality in ``digest``."""
