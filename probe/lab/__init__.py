"""The lab: RA-GZRS in a box, for `make run`, `make demo` and the tests; never deployed."""
