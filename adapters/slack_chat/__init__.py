"""Slack: mention the bot, and it draws; in Socket Mode or over HTTP.

| module | what it is |
| --- | --- |
| ``chat`` | starts and stops it all: `SlackChat` |
| ``workspaces`` | one installation: its token, its calls, and what their failures mean |
| ``sockets`` | Socket Mode, with acknowledgements that come after what is asked for is kept |
| ``listeners`` | what people write: mentions, direct messages, commands |
| ``actions`` | buttons, forms and shortcuts |
| ``context`` | what both share: who asks and where, and how they are answered |
| ``places`` | where somebody talks to the bot, and how something is said there |
| ``window`` | the message of a job, edited until it shows the picture |
| ``previews`` | the picture so far, as a file at Slack |
| ``pace`` | about one message a second in a channel |
| ``files`` | what people attached, and pictures on their way to Slack |
| ``blocks`` | Block Kit: messages; ``forms``: modals; ``home``: the App Home; all pure |
| ``wording`` | Slack's escapes, mentions and links to plain words, and back |
"""
