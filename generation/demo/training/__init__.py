"""How the demo model was trained, stage by stage. Nothing of the bot imports it."""
