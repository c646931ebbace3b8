"""The API of AUTOMATIC1111's Stable Diffusion web UI, as far as Open WebUI and SillyTavern ask.

| module | content |
| --- | --- |
| ``routes`` | the routes: pictures, progress, and the lists that clients offer |
| ``wishes`` | bodies in its words, and the commands that they mean |
| ``envelope`` | errors as its clients read them |
"""
