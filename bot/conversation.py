"""The one door for every platform: words of people, carried out.

An adapter hands over text or a typed command, a `Source` and the pictures that came with it, and
renders the `Reply`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from bot import (
    catalogue,
    expansion_talk,
    link_talk,
    loras,
    remaking,
    replies,
    series_talk,
    showcase,
)
from bot.above import with_picture_above
from bot.commands import (
    WITH_PICTURES,
    AdminAudit,
    AdminCommand,
    AdminInvite,
    AdminSample,
    AgainCommand,
    AnswerCommand,
    CancelCommand,
    Command,
    CommandError,
    DeleteCommand,
    EditCommand,
    ExpandCommand,
    FavouriteCommand,
    FinalCommand,
    HelpCommand,
    HistoryCommand,
    HistoryFilter,
    HowCommand,
    ImagineCommand,
    InspectCommand,
    LinkCommand,
    LorasCommand,
    Member,
    ModelsCommand,
    MyDataCommand,
    OpinionCommand,
    PreferCommand,
    PresetsCommand,
    PromptCommand,
    QueueCommand,
    QuotaCommand,
    ReportCommand,
    SendCommand,
    SeriesCommand,
    SettingsCommand,
    ShareCommand,
    ShowCommand,
    ThanksCommand,
    UnlinkCommand,
    UpscaleCommand,
    VaryCommand,
    VoteCommand,
    courtesy_in,
    parse,
    read_filter,
    series_of,
    with_options,
)
from bot.commands.message import as_id
from bot.commands.vocabulary import EXAMPLE_ID
from bot.commands.words import words_of
from bot.editing import edited, meant
from bot.examples import NothingKnown, cannot_be_drawn, comes_to_nothing, examples
from bot.inspection import told
from bot.jobs import Job
from bot.languages import ENGLISH, Language
from bot.linking import Joining
from bot.orders import audit_file, carry_out, invite
from bot.preferences import Preferences
from bot.refusals import NotFound
from bot.sentences import hidden
from bot.series import Series
from bot.service import Service
from bot.source import Picture, PictureOf, Source
from bot.views import Choice
from generation.checks import check_text
from generation.errors import FluxbotError, InvalidRequest

PAGE_SIZE = 10

#: "same, at night", "same but in blue", "same --steps 40"; not "same sex couple".
_SAME = re.compile(r"\s*same\b(?:\s*[,;:.]|\s+but\b|(?=\s*$)|(?=\s+(?:--|[—–])))", re.IGNORECASE)
#: Text that may go on from the last picture.
_GOES_ON = re.compile(r"\s*/?(?:same|again|vary)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that goes with a reply: its name and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The bot's answer.

    Attributes:
        text: Plain text in the person's language, perhaps of several lines; empty where `job`
            is the whole answer.
        job: The job to follow or to show, or the one that was acted upon.
        number: Number (from 1) of the picture of `job` to show; None for all.
        jobs: Jobs to show beside the text, newest first.
        has_more: Whether a further page follows that of `jobs`.
        error: Error of a refusal; `text` is its sentence then.
        is_new: Whether `job` was made by this very request and must be followed. A repeated event
            has the same job again, which is followed once.
        kind: Word for the command that was understood, such as "imagine", "history" or "admin";
            empty where none was.
        is_export: Whether `text` goes with all that is kept about the person, which
            `OwnData.export` puts together, and which they alone may be given.
        file: A file that goes with `text`, which the person alone may be given.
        joining: Accounts that are being joined, where there is more to tell: see `later`.
        asks_to_join: Whether `text` asks to join `joining`; yes and no are `LinkCommand` with its
            code. For the person alone, like all about `joining`.
        link: Address of the page that signs the person in, for them alone; empty for none.
        asks_to_delete: Whether `text` asks whether all of that is to be deleted; a yes is
            `MyDataCommand`.
        series: Jobs that were asked for together: to be followed as one where `is_new`.
        page, words: Of a history: the page that `jobs` are, from 1, and what was looked for.
        choices: Words to say next, to be offered as buttons beside `text`.
    """

    text: str = ""
    job: Job | None = None
    number: int | None = None
    jobs: tuple[Job, ...] = ()
    has_more: bool = False
    error: FluxbotError | None = None
    is_new: bool = False
    kind: str = ""
    is_export: bool = False
    file: TextFile | None = None
    asks_to_delete: bool = False
    joining: Joining | None = None
    asks_to_join: bool = False
    link: str = ""
    series: Series | None = None
    choices: tuple[Choice, ...] = ()
    page: int = 1
    words: str = ""

    @property
    def has_files(self) -> bool:
        """Whether more than `text` is to be handed to the person alone."""
        return self.is_export or self.file is not None

    def the_job(self) -> Job:
        """`job`, for adapters that have no other use for a reply.

        Raises:
            FluxbotError: `error`, if the request was refused.
        """
        if self.error is not None:
            raise self.error
        if self.job is None:
            raise LookupError(f"{self.kind} is about no job")
        return self.job


def refusal(error: FluxbotError, say: Language = ENGLISH) -> Reply:
    """The reply for *error*."""
    return Reply(replies.error_sentence(error, say), error=error)


def begins_with_same(said: str) -> bool:
    """Whether *said* goes on from the last picture, as ``same, at night`` does."""
    return _SAME.match(said) is not None


def understand(said: str | PromptCommand, last: Job | None) -> Command:
    """The command in *said*, where *last* is the picture that was drawn just before.

    There ``again`` and ``vary`` without an id mean that picture, and ``same, at night`` is its
    prompt with these words behind it, everything else staying the same.

    Raises:
        CommandError: *said* is not a command.
    """
    prompt = said if isinstance(said, str) else said.asked.prompt
    same = _SAME.match(prompt)
    if isinstance(said, PromptCommand):
        asked: ImagineCommand | AgainCommand = said.asked
        if last is not None and same is not None:
            rest = prompt[same.end() :].strip()
            asked = AgainCommand(last.id, replace(said.asked, prompt=_continued(last, rest)))
        return courtesy_in(prompt) or series_of(asked, said.repeat, said.presets)
    if last is None or same is None:
        command = parse(said)
        if isinstance(command, AgainCommand | VaryCommand) and command.job_id is None and last:
            return replace(command, job_id=last.id)
        return command
    rest = said[same.end() :]
    try:
        options = parse(f"again {rest}")
    except CommandError as error:
        try:
            added = parse(f"imagine {rest}")
        except CommandError as another:
            raise (error if another.field == "prompt" else another) from None
        if isinstance(added, SeriesCommand):
            members = [(each, each.command) for each in added.members]
            return SeriesCommand(
                tuple(
                    Member(
                        AgainCommand(
                            last.id, replace(command, prompt=_continued(last, command.prompt))
                        ),
                        each.repeat,
                    )
                    for each, command in members
                    if isinstance(command, ImagineCommand)
                )
            )
        if not isinstance(added, ImagineCommand):
            raise
        return AgainCommand(last.id, replace(added, prompt=_continued(last, added.prompt)))
    if isinstance(options, SeriesCommand):
        return options
    if not isinstance(options, AgainCommand):
        raise CommandError("the words behind same are not options")
    # Alone it means these very pixels.
    return replace(options, job_id=last.id, same=options == AgainCommand())


def _continued(last: Job, words: str) -> str:
    return f"{last.request.prompt}, {words}" if words else ""


async def converse(
    service: Service,
    source: Source,
    said: str | Command,
    pictures: Sequence[Picture] = (),
    *,
    options: ImagineCommand | None = None,
) -> Reply:
    """The reply to *said* by *source*, once it is carried out.

    No input makes this raise. A job that was asked for is on disk when it returns.

    Args:
        said: Text in the grammar of `bot.commands`, or a command that was clicked together.
        pictures: Pictures that came with the words.
        options: Options chosen beside typed words; the words win over them.
    """
    kind = ""
    try:
        source, command, remarks = await understood(service, source, said)
        kind = _kind(command)
        if options is not None:
            command = with_options(command, options)
        if isinstance(said, str) and isinstance(command, ImagineCommand):
            command = await meant(service, source, said, command, pictures, options)
        if isinstance(command, EditCommand):
            source, command, pictures = await edited(service, source, command, pictures)
        if not pictures and isinstance(command, ImagineCommand):
            source, command, pictures = await with_picture_above(service, source, command)
        if pictures and not isinstance(command, WITH_PICTURES):
            raise InvalidRequest(
                "a picture goes with a prompt: say what to draw from it", field="control_image"
            )
        if not pictures and comes_to_nothing(service.about, said, command):
            reply = Reply(cannot_be_drawn(source.language), choices=_examples(service))
            kind = "help"
        else:
            reply = await _answer(service, source, command, pictures, remarks)
    except FluxbotError as error:
        refused = replace(refusal(error, source.language), kind=kind)
        is_unknown = isinstance(error, NothingKnown)
        return replace(refused, choices=_examples(service)) if is_unknown else refused
    return replace(reply, kind=kind)


async def later(service: Service, source: Source, reply: Reply) -> AsyncIterator[Reply]:
    """Replies to *source* alone that come after *reply*, when it is time for them: the other side
    of ``reply.joining`` has done something. After a question there are none, since the answer to
    it has its own."""
    if reply.joining is not None and not reply.asks_to_join:
        async for said in link_talk.later(service.linking, source, reply.joining):
            yield Reply(said.text, kind="link", joining=said.joining, asks_to_join=said.asks)


async def understood(
    service: Service, source: Source, said: str | Command
) -> tuple[Source, Command, tuple[str, ...]]:
    """The command in *said*, its source, and remarks on settings that the picture inherits from the
    last.

    Raises:
        CommandError: *said* is not a command.
        InvalidRequest: It is none once the person's own words are in it.
    """
    is_bare = isinstance(said, AgainCommand) and said.job_id is None
    words = said.asked.prompt if isinstance(said, PromptCommand) else said
    goes_on = is_bare or (isinstance(words, str) and _GOES_ON.match(words))
    last = await service.lookups.latest(source) if goes_on else None
    if isinstance(said, AgainCommand):
        command: Command = replace(said, job_id=last.id) if is_bare and last else said
    elif isinstance(said, str | PromptCommand):
        own = await service.preferences.of(source.user)
        meant = own.expanded(said)
        try:
            command = own.with_suffix(understand(meant, last))
        except CommandError as error:
            if meant == said:
                raise
            raise InvalidRequest(str(error), field=error.field) from None  # it points elsewhere
    else:
        command = said
    if isinstance(command, VaryCommand) and last is not None and command.job_id == last.id:
        return replace(source, shown=last.id), command, ()
    if last is None or not isinstance(command, AgainCommand) or command.job_id != last.id:
        return source, command, ()
    # Where several people speak, the last picture may be anybody's.
    is_said = bool(source.thread or command.changes.prompt) and not command.same
    remark = replies.inherited(last, command.changes, command.vary)
    return replace(source, shown=last.id), command, (remark,) if is_said else ()


async def _answer(
    service: Service,
    source: Source,
    command: Command,
    pictures: Sequence[Picture],
    remarks: tuple[str, ...],
) -> Reply:
    say = source.language
    match command:
        case ImagineCommand():
            job = await service.submit(source, command, pictures, remarks)
            return Reply(job=job, is_new=True)
        case AgainCommand(str(job_id), number=number, same=True) if (
            there := await service.lookups.still_there(source, job_id, number)
        ):
            return Reply(job=there, number=number)
        case AgainCommand(job_id, changes, vary, number, same):
            job = await service.again(
                source, job_id, changes, vary=vary, same=same, number=number, remarks=remarks
            )
            return Reply(job=job, is_new=True)
        case VaryCommand(job_id, number, how):
            return Reply(job=await remaking.vary(service, source, job_id, number, how), is_new=True)
        case UpscaleCommand(job_id, number):
            job = await service.from_picture(source, PictureOf(job_id, number), "upscale")
            return Reply(job=job, is_new=True)
        case FinalCommand(job_id, number):
            return Reply(job=await remaking.final(service, source, job_id, number), is_new=True)
        case ShowCommand(job_id, number):
            if number is not None:
                await service.check_may_draw(source)
                await service.lookups.picture(source, job_id, number)
            return Reply(job=await service.lookups.job(source, job_id))
        case HowCommand(job_id):
            job = await service.lookups.job(source, job_id)
            return Reply(replies.how(job, say), job=job)
        case InspectCommand(job_id):
            return await _inspect(service, source, job_id, pictures)
        case ExpandCommand():
            proposal = await expansion_talk.expand(service, source, command)
            text, choices = expansion_talk.proposed(proposal, say)
            return Reply(text, choices=choices)
        case SeriesCommand():
            return await _propose(service, source, command, pictures)
        case AnswerCommand():
            return await _answered(service, source, command)
        case CancelCommand(str(job_id), is_whole=True):
            series = await service.together.cancel(source, job_id)
            return Reply(series_talk.cancelled(series, say), series=series)
        case CancelCommand(job_id):
            job = await service.cancel(source, job_id)
            return Reply(replies.cancelled(job, say), job=job)
        case VoteCommand(job_id, number):
            return Reply(showcase.told(await service.showcase.vote(source, job_id, number), say))
        case DeleteCommand(job_id):
            job = await service.delete(source, job_id)
            return Reply(say("The picture was deleted."), job=job)
        case HistoryCommand(words, page):
            return await _history(service, source, words, page)
        case FavouriteCommand(job_id, is_on):
            job, is_on = await service.favourites.mark(source, job_id, is_on)
            return Reply(replies.favourite(job, is_on, say))
        case ShareCommand(job_id, is_on):
            act = service.sharing.share if is_on else service.sharing.take_back
            job = await act(source, job_id)
            address = service.sharing.address(job) if is_on else ""
            return Reply(replies.shared(job, address, say), job=job)
        case SendCommand(job_id):
            job = await service.lookups.drawn(source, job_id)
            if job.is_spoiler:
                raise hidden()
            return Reply(replies.how(job, say), job=job)
        case PresetsCommand():
            return Reply(replies.presets(service.presets, service.config.model.default_preset, say))
        case LorasCommand():
            listed, several = service.offered.loras, service.catalogue.has_several
            return Reply(loras.listing(listed, say, tells_models=several))
        case ModelsCommand():
            return Reply(catalogue.listing(await service.catalogue.models(), say))
        case QuotaCommand():
            return Reply(replies.quota(await service.quota(source.user, source.origin), say))
        case QueueCommand():
            view = service.queue(source.user)
            state = service.state
            why_not = "" if state.status == "draining" else state.said(say)
            text = replies.queue(view.waiting, view.running, view.mine, why_not, say)
            return Reply(text, jobs=view.mine)
        case SettingsCommand():
            own = await _settings(service, source.user, command)
            return Reply(replies.settings(own, say))
        case PreferCommand():
            return preferred(await service.preferences.change(source.user, command), say)
        case MyDataCommand("export"):
            return Reply(say("Here is everything that I keep about you."), is_export=True)
        case MyDataCommand("delete", False):
            others = sorted(service.selves.of(source.user) - {source.user})
            return Reply(replies.ask_to_delete(others, say), asks_to_delete=True)
        case MyDataCommand():
            for account in service.selves.of(source.user):
                service.proposals.forget(account)
            return Reply(replies.deletion(await service.own_data.delete(source.user), say))
        case LinkCommand():
            said = await link_talk.answer(service.linking, service.invitations, source, command)
            return Reply(said.text, joining=said.joining, asks_to_join=said.asks, link=said.link)
        case UnlinkCommand(account):
            account = await service.linking.leave(source.user, account)
            return Reply(link_talk.parted(account, source.user, say))
        case HelpCommand(is_greeting=True):
            text = f"{say(service.about.text)}\n\n{replies.first_help(say)}"
            return Reply(text, choices=_examples(service))
        case HelpCommand(topic):
            model = service.config.model
            text = replies.help_text(topic, f"{model.width}x{model.height}", say)
            if topic:
                return Reply(text)
            return Reply(f"{say(service.about.text)}\n\n{text}", choices=_examples(service))
        case ThanksCommand(is_farewell):
            text = say("See you! Tell me what to draw next whenever you like.")
            if not is_farewell:
                text = say("You are welcome! Tell me what to draw next whenever you like.")
            return Reply(text, choices=_examples(service))
        case OpinionCommand(job_id, is_good):
            job = await service.lookups.job(source, job_id)
            service.metrics.judged(source.user, job, is_good=is_good)
            return Reply(job=job)
        case ReportCommand(job_id, reason):
            await service.moderation.report(source.user, job_id, reason)
            return Reply(say("Thank you: moderators will look at that picture."))
        case AdminInvite(name):
            text, link = await invite(service, source, name)
            return Reply(text, link=link)
        case AdminSample(name, prompt):
            job = await service.samples.draw(source, name, prompt)
            return Reply(f"The sample of {name} is being drawn, as {job.id}.")
        case AdminAudit(words, is_export=True):
            lines = await audit_file(service, source, words)
            return Reply(replies.exported_acts(lines), file=TextFile("audit.jsonl", lines))
        case AdminCommand():
            return Reply(await carry_out(service, source, command))
        case _:
            raise NotImplementedError(f"no answer to {command}")


async def _propose(
    service: Service, source: Source, command: SeriesCommand, pictures: Sequence[Picture]
) -> Reply:
    """Several pictures are drawn once the person has read how many, and what they cost."""
    say = source.language
    price = await service.together.price(source, command, pictures)
    proposal = service.proposals.make(source.user, command, tuple(pictures))
    yes = say("Draw {count} pictures", count=price.pictures)
    choices = series_talk.yes_or_no(proposal, yes, say)
    return Reply(series_talk.proposed(price, say), choices=choices)


async def _answered(service: Service, source: Source, command: AnswerCommand) -> Reply:
    if earlier := await service.asked_before(source.event_id):
        series = await service.together.of(earlier)
        return Reply(series=series, job=earlier if earlier.series is None else None, is_new=True)
    say = source.language
    proposal = service.proposals.take(source.user, command.code)
    if not command.is_yes:
        return Reply(say("Nothing was drawn."))
    try:
        if isinstance(proposal.command, SeriesCommand):
            series = await service.together.draw(source, proposal.command, proposal.pictures)
            return Reply(series=series, is_new=True)
        remarks = (expansion_talk.remark(proposal, say),) if proposal.original else ()
        return await _answer(service, source, proposal.command, proposal.pictures, remarks)
    except FluxbotError:
        service.proposals.put_back(proposal)
        raise


def _examples(service: Service) -> tuple[Choice, ...]:
    return examples(service.about, service.presets, service.config.model.default_preset)


async def _inspect(
    service: Service, source: Source, job_id: str | None, pictures: Sequence[Picture]
) -> Reply:
    if not pictures and job_id is None:
        raise InvalidRequest(
            "inspect which picture? Attach one, or add the id of one of yours, for example"
            f" inspect {EXAMPLE_ID}",
            field="control_image",
        )
    picture = pictures[0] if pictures else PictureOf(job_id or "")
    return Reply(told(await service.inspections.findings(source, picture), source.language))


def preferred(own: Preferences, say: Language) -> Reply:
    """The words of a person's own, with a button to remove each."""
    lines = [say("Behind every prompt of yours: {words}", words=own.suffix)] if own.suffix else []
    lines += [f"--{name}: {text}" for name, text in own.shortcuts.items()]
    names = [*(["suffix"] if own.suffix else []), *own.shortcuts]
    choices = [Choice(say("Remove {name}", name=name), f"prefer remove {name}") for name in names]
    if not lines:
        examples = 'prefer suffix ", film grain"', 'prefer pic = "--ar 3:2"'
        lines = [say("You have no words of your own yet. Keep some:"), *examples]
    return Reply("\n".join(lines), choices=tuple(choices))


async def _settings(service: Service, user: str, command: SettingsCommand) -> dict[str, object]:
    if command.is_question:
        return await service.own_settings.of(user)
    changes = command.changes
    if changes is None and not command.is_reset:
        changes = ImagineCommand()
    return await service.own_settings.change(
        user,
        changes,
        is_private=command.is_private,
        is_reset=command.is_reset,
        is_complete=command.is_complete,
        beside=command.beside,
    )


async def _history(service: Service, source: Source, words: str, page: int) -> Reply:
    """A page of what *words* ask for; of an id that job alone."""
    find, user, say = service.histories.find, source.user, source.language
    asked = words_of(words)
    if len(asked) == 1 and (job_id := as_id(asked[0])) is not None:
        try:
            return Reply(job=await service.lookups.job(source, job_id))
        except NotFound:
            if not job_id.isalpha():
                raise
    check_text("text", words)
    wanted, before = read_filter(words), None
    is_filtered = wanted != HistoryFilter(wanted.words)
    for _ in range(page - 1):
        before = (await find(user, wanted, before=before, limit=PAGE_SIZE)).next
        if before is None:
            return Reply(replies.history([], words, page, False, say))
    found = await find(user, wanted, before=before, limit=PAGE_SIZE)
    has_more = found.next is not None
    text = replies.history(found.jobs, words, page, has_more, say, is_filtered=is_filtered)
    jobs = tuple(found.jobs)
    return Reply(text, jobs=jobs, has_more=has_more, page=page, words=words)


def _kind(command: Command) -> str:
    """The word for *command*: ``admin`` for all commands of admins."""
    if isinstance(command, AdminCommand):
        return "admin"
    return type(command).__name__.removesuffix("Command").lower()
