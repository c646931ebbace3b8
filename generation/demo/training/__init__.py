"""The training of the demo model, stage by stage. Nothing of the bot imports it."""
