"""Discord: slash commands, buttons that never die, and one message for each picture.

| module | what it is |
| --- | --- |
| ``chat`` | `DiscordChat`: logs in, keeps the gateway's sockets, ends |
| ``commands`` | ``/flux …``, and the menus of a message |
| ``administration`` | ``/flux-admin …`` |
| ``acts`` | what buttons and forms know of what they lead to |
| ``buttons`` | the buttons under a picture; their ids carry the job's |
| ``actions`` | what happens when somebody presses one |
| ``forms`` | the forms that open: change the prompt, draw from a picture |
| ``answers`` | the first answer to an interaction, and what comes of it |
| ``window`` | the message of a job, and the other ways to the person who asked for it |
| ``messages`` | how a job and a text look on Discord; pure |
| ``attachments`` | reads pictures from Discord's own hosts alone |
| ``people`` | who asks, from where, and what they and we may do there |
"""

from adapters.discord_chat.chat import DiscordChat, identify, invitation

__all__ = ["DiscordChat", "identify", "invitation"]
