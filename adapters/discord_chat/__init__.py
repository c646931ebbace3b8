"""Discord: slash commands, buttons that never die, and one message for each picture.

| module | content |
| --- | --- |
| ``chat`` | `DiscordChat`: logs in, keeps the gateway's sockets, ends |
| ``commands`` | ``/flux …`` |
| ``menus`` | the entries behind a right click on a message |
| ``administration`` | ``/flux-admin …`` |
| ``completion`` | what is offered while people type an id or a name |
| ``mentions`` | commands as people can press them in a text |
| ``buttons`` | the buttons under a picture; their ids carry the job's |
| ``acts`` | the protocol of acts that buttons and forms know |
| ``actions`` | the acts behind buttons and forms |
| ``forms`` | the forms that open: describe a picture, change the prompt, draw from a picture |
| ``answers`` | the first answer to an interaction, and the job behind it |
| ``window`` | the message of a job, and the other ways to the person who asked for it |
| ``messages`` | the look of jobs and texts on Discord; pure |
| ``attachments`` | attached pictures, from Discord's own hosts alone |
| ``people`` | the person behind an interaction, its place, and the permissions there |
"""

from adapters.discord_chat.chat import DiscordChat, identify, invitation

__all__ = ["DiscordChat", "identify", "invitation"]
