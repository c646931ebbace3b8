"""Words to the bot that ask for no picture, and would only be drawn by mistake.

A text is small talk where it is made of such phrases from end to end, in any of our languages:
"hello there, thank you so much!" is, and "hello kitty on a beach" is a prompt.
"""

from __future__ import annotations

import re
from typing import Literal

#: Phrases in lower case and without punctuation, which ask what the bot is for.
GREETINGS = """
hi; hey; hello; hiya; howdy; yo; greetings; good morning; good day; good afternoon; good evening
how are you; how are you doing; whats up; nice to meet you; help; help me; can you help me
how do you work; what can you do; what do you do; what are you; who are you; are you there
are you a bot; are you real; how does this work; how does it work; how do i use this
how do i use you; how can i use this; what is this; what are you for; whats your name
what is your name; what can i do; what can i do here; how do i start; where do i start
can you draw; what can you draw
hallo; hallöchen; moin; moin moin; servus; grüezi; grüß gott; grüß dich; guten morgen; guten tag
guten abend; wie gehts; wie geht es dir; was kannst du; was machst du; was bist du; wer bist du
wie funktionierst du; wie funktioniert das; wie geht das; hilfe; hilf mir; bist du da
was kannst du zeichnen
bonjour; bonsoir; salut; coucou; ça va; comment ça va; comment vas tu; que sais tu faire
que peux tu faire; qu est ce que tu sais faire; tu sais faire quoi; qui es tu; comment ça marche
aide; aide moi; aidez moi; à l aide; tu es là
hola; buenas; buenos días; buenos dias; buenas tardes; buenas noches; qué tal; que tal
cómo estás; como estas; qué puedes hacer; que puedes hacer; qué sabes hacer; que sabes hacer
quién eres; quien eres; cómo funcionas; cómo funciona; como funciona; ayuda; ayúdame; ayudame
estás ahí
こんにちは; こんにちわ; こんばんは; おはよう; おはようございます; はじめまして; やあ; もしもし
何ができますか; 何ができるの; なにができますか; あなたは誰; あなたは誰ですか; 使い方; 使い方は
使い方を教えて; 使い方を教えてください; ヘルプ; 助けて; 元気; 元気ですか; お元気ですか
"""
#: Thanks, and other words that people say to one another.
THANKS = """
thanks; thank you; thank u; thx; ty; tysm; cheers; many thanks; much appreciated; appreciated
i appreciate it; lol; haha; ha ha; ok; okay; k; good bot; good job; great job; well done
got it; nice work; good work; sorry; my bad; no problem; please; love it; i love it; love this
i love this; i like it; like it; you are the best; youre the best; you rock; yay; alright
all right; never mind; nevermind; great picture; nice picture; beautiful picture; cool picture
danke; vielen dank; danke schön; danke dir; danke sehr; dankeschön; tausend dank; besten dank
gut gemacht; sehr gut; entschuldigung; bitte; alles klar; schönes bild; tolles bild
merci; merci beaucoup; merci bien; mille mercis; je te remercie; bravo; bien joué; désolé; pardon
d accord; s il te plaît; s il vous plaît; j adore; belle image
gracias; muchas gracias; mil gracias; te lo agradezco; bien hecho; me encanta; lo siento; perdón
por favor; vale; de acuerdo; bonita imagen
ありがとう; ありがとうございます; ありがとうございました; どうもありがとう
どうもありがとうございます; どうも; サンキュー; いいね; よくできました; 了解; 了解です
わかりました; ごめん; ごめんなさい; すみません; お願いします
"""
#: Praise.
PRAISE = """
nice; great; good; cool; wow; perfect; awesome; amazing; lovely; beautiful; gorgeous; brilliant
excellent; fantastic; wonderful; sweet; neat; fine; sure; oh; nice one; good one
super; toll; klasse; prima; schön; wunderschön; spitze; genial; perfekt
parfait; magnifique; génial; superbe; très bien; beau; trop beau
perfecto; increíble; bonito; muy bien; estupendo
すごい; 素敵; きれい; 綺麗; 最高; すばらしい; 素晴らしい
"""
#: Words at parting.
FAREWELLS = """
bye; bye bye; goodbye; good bye; see you; see you later; see ya; cya; later; good night; take care
until next time; have a nice day
tschüss; tschüs; ciao; bis bald; bis später; bis dann; auf wiedersehen; gute nacht
au revoir; à bientôt; à plus; à plus tard; à demain; bonne nuit; bonne journée
adiós; adios; hasta luego; hasta pronto; hasta mañana; nos vemos; chao
さようなら; さよなら; またね; じゃあね; では また; おやすみ; おやすみなさい; バイバイ
"""
#: Words that are small talk beside any of these.
DEGREES = """
so; very; really; too; that; this; it; is; its; thats; looks; indeed; and; but; now; much; xd; d; p
das; ist; sieht; aus; sehr; wirklich; und; mal; wie
c est; très; vraiment; et; trop
muy; es; está; y; qué
ね; です; ですね; とても; 本当に
"""
#: Words that are so beside all but praise: "beautiful man" is a prompt.
COMPANIONS = """
there; bot; fluxbot; flux; friend; my friend; buddy; dude; mate; man; guys; all; everyone; everybody
so much; very much; a lot; a bunch; a million; for that; for this; for it; for your help
for the picture; for the pictures; for the image; heart; pray; wave; tada; slightly smiling face
you; lieber; du; zusammen; für das bild; le bot; toi; tous; beaucoup; pour l image; el bot; todos
por la imagen; por todo; さん; ボット
"""
#: Longer texts are prompts.
LONGEST = 80
_PUNCTUATION = re.compile(r"[\W_]+")
_FACES = re.compile(r"[:;=8x][-']?[)(dpo3/|]+(?!\w)|<3", re.IGNORECASE)
#: Nods, which are words where they stand alone.
_NODS = re.compile(
    "[\\s\U0001f44b-\U0001f44d\U0001f44f\U0001f64f\U0001f91d\U0001f3fb-\U0001f3ff!.]+"
)

Kind = Literal["greeting", "farewell", "thanks"]
#: The first of them that is in a text decides.
KINDS: tuple[Kind, ...] = ("greeting", "farewell", "thanks")


def _phrases(text: str) -> list[str]:
    return [phrase.strip().casefold() for phrase in re.split(r"[;\n]", text) if phrase.strip()]


def _pattern(phrases: list[str], ends: str) -> str:
    # Japanese is written without gaps; so a phrase in it needs none behind it.
    longest_first = sorted(set(phrases), key=len, reverse=True)
    return "|".join(
        re.escape(each) + ("" if each[0] > "\u3000" else ends) for each in longest_first
    )


_PHRASES = {
    "greeting": GREETINGS,
    "farewell": FAREWELLS,
    "thanks": THANKS,
    "praise": PRAISE,
    "degree": DEGREES,
    "companion": COMPANIONS,
}
#: One phrase, from the left; the group is its kind.
_NEXT = re.compile(
    "(?:"
    + "|".join(f"(?P<{k}>{_pattern(_phrases(v), '(?![^ ])')})" for k, v in _PHRASES.items())
    + ") ?"
)


def kind_of(text: str) -> Kind | None:
    """The kind of small talk that all of *text* is; None for a prompt. A greeting, or a question
    for help, among other courtesies decides."""
    if len(text) > LONGEST:
        return None
    if text.strip() and _NODS.fullmatch(text) and not text.isascii():
        return "thanks"
    if text.lstrip()[:1] in ('"', "“", "„", "«"):
        return None  # in quotes it is meant as it stands
    bare = _FACES.sub(" ", text).casefold()
    # "that's" is written as one word here, and "c'est" as two.
    for whole in (re.sub("['’]", "", bare), bare):
        kinds = _kinds(_PUNCTUATION.sub(" ", whole).strip())
        for kind in KINDS:
            if kind in kinds:
                return kind
        if "praise" in kinds and "companion" not in kinds:
            return "thanks"
    return None


def _kinds(words: str) -> set[str | None]:
    """The kinds of the phrases that *words* are made of; empty where anything else is in them."""
    found: set[str | None] = set()
    position = 0
    while position < len(words):
        match = _NEXT.match(words, position)
        if match is None:
            return set()
        found.add(match.lastgroup)
        position = match.end()
    return found
