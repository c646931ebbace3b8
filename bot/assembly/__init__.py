"""The front door: all parts of the bot, put together. It alone knows everything.

| module | content |
| --- | --- |
| ``process`` | one run of the bot: signals, backups, restarts |
| ``engine`` | the executors, by the word of ``engine.process``, one for each device |
| ``platforms`` | the platforms that the bot is on: one line for each |
| ``about`` | the introduction of the model |
| ``parts`` | weights that presets want beside the model |
| ``descriptors`` | how many files and connections may be open |
| ``doctor`` | ``python -m bot check``: findings about all of it |
| ``folder`` | the data folder: its paths, and its lock |

Imports of torch, slack_bolt and discord.py stand inside of the branch that needs them, so
that the web chat answers before.
"""
