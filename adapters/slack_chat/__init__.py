"""Slack: mention the bot, and it draws; in Socket Mode or over HTTP.

| module | content |
| --- | --- |
| ``chat`` | `SlackChat`: starts and stops everything |
| ``workspaces`` | one installation: its token and its calls |
| ``installations`` | whose a payload is: the installation's, and the person's own workspace |
| ``errors`` | Slack's errors, and their meaning |
| ``sockets`` | Socket Mode, with acknowledgements once jobs are on disk |
| ``listeners`` | mentions, direct messages, commands |
| ``messages`` | messages that were heard, since people edit them |
| ``actions`` | buttons, forms and shortcuts |
| ``context`` | shared by both: the person, the place, the ways to answer |
| ``people`` | people, as Slack knows them, and their languages |
| ``agent`` | what Slack shows of an agent: status, titles, prompts |
| ``greetings`` | words of welcome |
| ``places`` | places in Slack where people talk to the bot, and messages there |
| ``threads`` | pictures further up in a thread, and who has spoken there |
| ``hooks`` | answers by ``response_url``, in any conversation |
| ``window`` | the message of a job, edited until it shows the picture |
| ``showing`` | pictures brought to Slack, and their messages |
| ``previews`` | unfinished pictures, as files at Slack |
| ``pace`` | about one message a second in a channel |
| ``files`` | attached files, and pictures on their way to Slack |
| ``replying`` | replies as messages, with what can be pressed; pure |
| ``blocks`` | Block Kit: messages; ``forms``: modals; ``home``: the App Home; all pure |
| ``wording`` | Slack's escapes, mentions and links to plain words, and back |
"""
