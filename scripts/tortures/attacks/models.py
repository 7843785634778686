"""A whole model folder, and ways to spoil it.

Each function `with_…(rng, folder)` spoils a model and returns a word that the refusal must contain; empty if the model
may also be accepted.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import struct

Random, Path = random.Random, pathlib.Path

JSONS = [
    "model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
    "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json",
]  # fmt: skip
"""Files that are read before anything is loaded."""
WEIGHTS = ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
OTHERS = ["README.md", "tokenizer/vocab.json", "tokenizer/merges.txt", "text_encoder/generation_config.json"]
"""Files that the libraries read."""


def whole_model(folder: pathlib.Path) -> pathlib.Path:
    """A folder that the checks let through: configurations of the real classes, weights of a few numbers."""
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    configs = {
        "unet": {"_class_name": "UNet2DConditionModel", "cross_attention_dim": 16, "block_out_channels": [8, 8]},
        "vae": {"_class_name": "AutoencoderKL", "block_out_channels": [8]},
        "text_encoder": {"architectures": ["CLIPTextModel"], "hidden_size": 16, "num_hidden_layers": 1},
    }
    for name, config in configs.items():
        write_json(folder / name / "config.json", config)
        kind = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        write_weights(folder / name / f"{kind}.safetensors", {"a": ("F32", [2, 3])})
    write_json(folder / "text_encoder" / "generation_config.json", {"max_length": 20})
    write_json(folder / "model_index.json", index)
    write_json(folder / "scheduler" / "scheduler_config.json", {"num_train_timesteps": 1000})
    write_json(folder / "tokenizer" / "tokenizer_config.json", {"model_max_length": 77})
    write_json(folder / "tokenizer" / "vocab.json", {"a": 0})
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    return folder


def write_json(file: pathlib.Path, value: object) -> None:
    """Write a JSON file and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


def write_weights(file: pathlib.Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    """A safetensors file of zeros, of types with 4 bytes."""
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    write_header(file, json.dumps(header).encode(), end)


def write_header(file: pathlib.Path, header: bytes, data: int, length: int | None = None) -> None:
    """A safetensors file with this header, of this length as it claims, and so many bytes of zeros."""
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header) if length is None else length) + header)
        stream.truncate(8 + len(header) + data)


def change(file: Path, **values: object) -> str:
    """Set entries of a JSON file; returns the name of its folder, or of the file itself at the top."""
    write_json(file, json.loads(file.read_text(encoding="utf-8")) | values)
    return file.parent.name


def with_nesting(rng: Random, folder: Path) -> str:
    """JSON that is nested 100,000 deep, alone or within an object."""
    name = rng.choice(JSONS)
    text = "[" * 100_000 if rng.random() < 0.5 else '{"a":' * 100_000
    (folder / name).write_text(rng.choice([text, '{"x": ' + text]), encoding="utf-8")
    return "nested too deeply"


def with_nesting_in_a_header(rng: Random, folder: Path) -> str:
    """The same in the header of weights."""
    write_header(folder / rng.choice(WEIGHTS), b'{"a": ' + b"[" * 100_000, 24)
    return "nested too deeply"


def with_a_huge_json(rng: Random, folder: Path) -> str:
    """A configuration of 300 MB, most of it a hole."""
    name = rng.choice([*JSONS, "text_encoder/generation_config.json"])
    with (folder / name).open("r+b") as stream:
        stream.truncate(300 << 20)
    return Path(name).name


def with_a_huge_vocabulary(rng: Random, folder: Path) -> str:
    """Files of a tokenizer of 300 MB."""
    name = rng.choice(["vocab.json", "merges.txt", "spiece.model", "tokenizer.json"])
    with (folder / "tokenizer" / name).open("ab") as stream:
        stream.truncate(300 << 20)
    return name


def with_millions_of_values(rng: Random, folder: Path) -> str:
    """JSON of 30 MB that is all commas."""
    file = folder / rng.choice(JSONS)
    file.write_bytes(b'{"a": [' + b"[]," * 10_000_000 + b"0]}")
    return "too many values"


def with_a_pipe(rng: Random, folder: Path) -> str:
    """A pipe that nobody writes to, in place of a file."""
    file = folder / rng.choice([*JSONS, *WEIGHTS, *OTHERS])
    file.unlink()
    os.mkfifo(file)
    return "a pipe"


def with_a_link_to_a_device(rng: Random, folder: Path) -> str:
    """An endless file."""
    file = folder / rng.choice([*JSONS, *WEIGHTS, *OTHERS])
    file.unlink()
    file.symlink_to("/dev/zero")
    return "link that leads out"


def with_a_link_out(rng: Random, folder: Path) -> str:
    """A link to a file of the user's."""
    file = folder / rng.choice([*JSONS, *WEIGHTS, *OTHERS])
    file.unlink()
    file.symlink_to(rng.choice([folder.parent / "outside.json", Path("..", "..", "outside.json")]))
    return "link that leads"


def with_a_linked_folder(rng: Random, folder: Path) -> str:
    """A part that lies elsewhere."""
    place = folder / rng.choice(["unet", "tokenizer"])
    place.rename(place.with_name("old"))
    place.symlink_to(folder.parent, target_is_directory=True)
    return "link that leads out"


def with_links_in_a_circle(rng: Random, folder: Path) -> str:
    """A link to itself, or to nothing."""
    file = folder / rng.choice([*JSONS, *WEIGHTS])
    file.unlink()
    file.symlink_to(rng.choice([file.name, "nothing"]))
    return "link that leads nowhere"


def with_a_header_that_lies(rng: Random, folder: Path) -> str:
    """Lengths, shapes, types and offsets that can't be."""
    file = folder / rng.choice(WEIGHTS)
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    bad = [
        {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 24]}, entry | {"shape": [-2, -3]},
        entry | {"dtype": "PICKLE"}, entry | {"dtype": ["F32"]}, entry | {"shape": "23"}, entry | {"shape": [2.0, 3]},
        entry | {"data_offsets": [24, 0]}, entry | {"data_offsets": [0]}, entry | {"data_offsets": [0, 1 << 70]},
        {"shape": [2, 3], "data_offsets": [0, 24]}, {"dtype": "F32"}, entry | {"shape": [1] * 4000}, [entry], 7, None,
    ]  # fmt: skip
    write_header(file, json.dumps({"a": rng.choice(bad)}).encode(), 24)
    return file.name


def with_a_header_of_a_false_length(rng: Random, folder: Path) -> str:
    """A header that claims to be longer than the file, or than any."""
    file = folder / rng.choice(WEIGHTS)
    write_header(file, b'{"a": 1}', rng.choice([0, 200 << 20]), rng.choice([90_000_000, 1 << 40, (1 << 64) - 1]))
    return file.name


def with_half_a_million_tensors(rng: Random, folder: Path) -> str:
    """A header of 30 MB."""
    entry = json.dumps({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
    text = "{" + ",".join(f'"{number}": {entry}' for number in range(450_000)) + "}"
    write_header(folder / WEIGHTS[0], text.encode(), 0)
    return "too many values"


def with_a_cut(rng: Random, folder: Path) -> str:
    """A file that ends early."""
    file = folder / rng.choice([*JSONS, *WEIGHTS])
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data) - 1)])
    return file.name if file.suffix == ".safetensors" else file.parent.name


def with_bytes_that_are_no_text(rng: Random, folder: Path) -> str:
    """No UTF-8, UTF-16, a number of a million digits, nothing."""
    file = folder / rng.choice(JSONS)
    text = [b"\xff\xfe{}", b'{"a": "\xc3("}', b"\0\0\0{", b'{"a": ' + b"9" * 1_000_000 + b"}", b"", b"[]", b"7"]
    file.write_bytes(rng.choice(text))
    return file.name


def with_pickles(rng: Random, folder: Path) -> str:
    """Weights as a pickle alone."""
    file = folder / WEIGHTS[0]
    file.unlink()
    file.with_suffix(rng.choice([".bin", ".pt", ".ckpt", ".pth"])).write_bytes(b"\x80\x04cos\nsystem\n.")
    return "pickle"


def with_code(rng: Random, folder: Path) -> str:
    """A module of its own."""
    name = rng.choice(["pipeline.py", "unet/my.py", "tokenizer/deep/er/x.so", "vae/__pycache__/x.pyc"])
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("raise SystemExit")
    return "code of its own"


def with_a_map_to_code(rng: Random, folder: Path) -> str:
    """A configuration that names code, at any depth."""
    value = {"auto_map": {"AutoModel": "someone/code--modeling.Mine"}}
    if rng.random() < 0.3:
        value = {"custom_pipelines": {"a": "b"}}
    file = folder / rng.choice(JSONS[1:])
    change(file, **(value if rng.random() < 0.5 else {"text_config": {"list": [value]}}))
    return "code of its own"


def with_kernels_from_the_network(rng: Random, folder: Path) -> str:
    """An attention that is fetched and run."""
    key = rng.choice(["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
    change(folder / "text_encoder" / "config.json", **{key: "someone/attention"})
    return "attention"


def with_quantised_weights(rng: Random, folder: Path) -> str:
    """Weights that need another library, or kernels from the network."""
    change(folder / rng.choice(JSONS[1:4]), quantization_config={"quant_method": "fp8"})
    return "quantised"


def with_an_adapter(rng: Random, folder: Path) -> str:
    """An adapter names another model, which would be loaded too."""
    write_json(folder / "text_encoder" / "adapter_config.json", {"base_model_name_or_path": "/etc"})
    return "adapter"


def with_absurd_numbers(rng: Random, folder: Path) -> str:
    """Sizes that would fill the memory."""
    value = rng.choice([1 << 40, -(1 << 40), 10**30])
    change(folder / "text_encoder" / "config.json", **{rng.choice(["max_position_embeddings", "vocab_size"]): value})
    return "no model has"


def with_absurd_layers(rng: Random, folder: Path) -> str:
    """More layers than there are."""
    place, key, value = rng.choice([
        ("text_encoder", "num_hidden_layers", 10**8), ("unet", "layers_per_block", 10**6),
        ("unet", "block_out_channels", [8] * 50_000), ("unet", "transformer_layers_per_block", [1, 10**7]),
        ("vae", "down_block_types", ["x"] * 5000),
    ])  # fmt: skip
    change(folder / place / "config.json", **{key: value})
    return key


def with_an_absurd_schedule(rng: Random, folder: Path) -> str:
    """A schedule of a trillion steps."""
    change(folder / "scheduler" / "scheduler_config.json", num_train_timesteps=10**12)
    return "num_train_timesteps"


def with_a_part_elsewhere(rng: Random, folder: Path) -> str:
    """Names of parts that lead out, or are none."""
    name = rng.choice(["../vae", "/etc", "a/b", "x" * 100_000, "a\0b", "..", "a\ud800", "\x1b[31m"])
    change(folder / "model_index.json", **{name: ["diffusers", "AutoencoderKL"]})
    return "no name of a component"


def with_a_shard_elsewhere(rng: Random, folder: Path) -> str:
    """An index that names files outside."""
    name = rng.choice(["../../outside.json", "/etc/passwd", "x" * 10_000, "a\0b", "..", ""])
    write_json(folder / "unet" / "diffusion_pytorch_model.safetensors.index.json", {"weight_map": {"a": name}})
    return "a part of its weights"


def with_an_unknown_class(rng: Random, folder: Path) -> str:
    """Classes that are not known, named with signs that a terminal obeys."""
    value = rng.choice(
        [["os", "system"], ["builtins", "exec"], ["diffusers", "\x1b[2J"], ["transformers", "x" * 10**6]]
    )
    change(folder / "model_index.json", unet=value)
    return "not known"


def with_too_many_files(rng: Random, folder: Path) -> str:
    """More files than a model has."""
    place = folder / "unet" / "many"
    place.mkdir()
    for number in range(2001):
        os.close(os.open(place / str(number), os.O_CREAT | os.O_WRONLY))
    return "more than 2,000 files"


def with_any_value_anywhere(rng: Random, folder: Path) -> str:
    """A value of any type in any place of any configuration: accepted or refused, but answered."""
    file = folder / rng.choice(JSONS)
    config = json.loads(file.read_text(encoding="utf-8"))
    value = rng.choice([None, True, -1, 10**25, 1e300, "", "x" * 5000, [], [[]], {}, {"a": {"b": []}}, ["a", "b"]])
    config[rng.choice([*config, "auto_map", "architectures", "_class_name"])] = value
    write_json(file, config)
    return ""


def with_flipped_bytes(rng: Random, folder: Path) -> str:
    """Up to eight bytes of a file are other ones."""
    file = folder / rng.choice([*JSONS, *WEIGHTS, *OTHERS])
    data = bytearray(file.read_bytes())
    for _ in range(rng.randrange(1, 9)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    file.write_bytes(data)
    return ""


def with_noise(rng: Random, folder: Path) -> str:
    """Weights of random bytes behind a plausible length."""
    file = folder / rng.choice(WEIGHTS)
    file.write_bytes(struct.pack("<Q", rng.randrange(200)) + rng.randbytes(rng.randrange(200)))
    return ""
