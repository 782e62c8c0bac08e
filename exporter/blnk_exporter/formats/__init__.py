"""Wire formats and connection strings: text or bytes in, dataclasses out; no I/O, no clock, no driver."""
