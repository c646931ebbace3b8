"""A conversation in Slack with the model that ships, and a look at what it drew."""

import pytest

from tests.fakes.slack.world import buttons, images, shown_text
from tests.samples import opened

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


async def test_a_conversation_in_a_thread_ends_in_the_picture_that_was_asked_for(
    demo, make_chat, slack, ada, general
):
    from generation.demo import checker

    await make_chat(demo)
    seen = set()

    async def said_by_the_bot():
        def new(messages):
            found = [m for m in messages if m["ts"] not in seen and "Again" in buttons(m)]
            return found[0] if found else None

        message = await general.until(new)
        seen.add(message["ts"])
        (file,) = images(message)
        return message, opened(slack.files[file].data)

    await ada.mention(general, "a red circle on a blue background —seed 3")
    first, circle = await said_by_the_bot()
    thread = first["thread_ts"]
    ground, found = checker.look(circle)
    assert circle.size == (256, 256)
    assert ground == "blue"
    assert [(each.colour, each.shape) for each in found] == [("red", "circle")]

    await ada.mention(general, "again --steps 6", thread=thread)
    _, sketch = await said_by_the_bot()
    assert checker.look(sketch)[0] == "blue"

    await ada.press(first, "Use as control image", general)
    assert (
        await ada.submit(await ada.form(), prompt="a yellow circle on a green background") is None
    )
    last, followed = await said_by_the_bot()
    ground, found = checker.look(followed)
    assert "canny" in shown_text(last)
    assert ground == "green"
    assert [each.colour for each in found] == ["yellow"]
