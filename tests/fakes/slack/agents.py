"""What an agent of Slack's can show in its conversations: statuses, titles, prompts to press."""

from __future__ import annotations


class Refused(Exception):
    """``ok: false``; *more* goes into the answer."""

    def __init__(self, error, **more):
        super().__init__(error)
        self.error, self.more = error, more


class Agents:
    """These methods of the Web API, under Slack's names."""

    def assistant_threads_setStatus(self, team, arguments):
        channel = self._channel(team, arguments["channel_id"])
        if arguments["thread_ts"] not in channel.messages:
            raise Refused("invalid_thread_ts")
        channel.statuses[arguments["thread_ts"]] = arguments["status"]
        return {}

    def assistant_threads_setTitle(self, team, arguments):
        channel = self._channel(team, arguments["channel_id"])
        if arguments["thread_ts"] not in channel.messages:
            raise Refused("invalid_thread_ts")
        channel.titles[arguments["thread_ts"]] = arguments["title"]
        channel.touch()
        return {}

    def assistant_threads_setSuggestedPrompts(self, team, arguments):
        channel = self._channel(team, arguments["channel_id"])
        if "thread_ts" in arguments:
            self.slack.violations.append("for an agent Slack ignores prompts of a thread")
        if not 1 <= len(arguments["prompts"]) <= 4:
            self.slack.violations.append(f"{len(arguments['prompts'])} prompts, 4 at most")
        if any(set(each) != {"title", "message"} for each in arguments["prompts"]):
            self.slack.violations.append(f"no prompts: {arguments['prompts']}")
        channel.prompts = arguments["prompts"]
        channel.touch()
        return {}
