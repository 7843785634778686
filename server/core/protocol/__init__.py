"""The protocol between add-on and server: JSON-RPC 2.0 over the server's standard input and output.

The add-on sends requests; the server answers each, and meanwhile sends notifications that carry the request's id.

- `framing`: message framing in the byte stream.
- `messages`: method names and parameters.
- `error_codes`: codes of error responses.
- `result`: result.json, which lists the contents of a finished job's folder.
- `model_offers`: models that can be asked for by a short name.
- `licences`: whether a model's licence excludes commercial use.
"""
