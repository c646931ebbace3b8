"""OpenAI's images API at ``/v1``, for programs that speak it already.

| module | content |
| --- | --- |
| ``routes`` | the routes: models, generations, edits, variations, and links to pictures |
| ``wishes`` | bodies in OpenAI's words, and the commands that they mean |
| ``forms`` | bodies with pictures, as ``multipart/form-data`` |
| ``telling`` | pictures as OpenAI tells of them: JSON, or events while they are drawn |
| ``refusals`` | errors in OpenAI's envelope |
"""
