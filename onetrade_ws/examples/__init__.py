"""Runnable examples: ``python -m onetrade_ws.examples.quotes``, and so on.

They take address and credentials from the environment, as :meth:`.OneTradeClient.from_env` does; with
``--simulator`` they run against an embedded server, without any account.
"""
