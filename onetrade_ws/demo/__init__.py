"""The demonstration behind ``onetrade-ws demo``: built on the public API alone."""
