"""What the add-on and the server say to each other: JSON-RPC 2.0 over the server's standard input and output.

The add-on sends requests, the server answers each and sends notifications in between that carry the request's id.
`framing`: how messages lie in the stream. `messages`: their names and parameters. `error_codes`: why a request was
refused. `result`: result.json, by which a finished job tells what is in its folder.
`model_offers`: the models that can be asked for by a short name.
"""
