"""How fast the library is, beside other clients, measured: ``make bench``. Nothing here is a test of speed."""
