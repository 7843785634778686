"""The one place through which data from outside comes in: other people's job folders, models, pictures and splats.

- `limits`: how large, how deep and how many; checked before memory is allocated and before anything is copied.
- `bounded_json`: JSON of limited size, depth and count.
- `regular_files`: opens a file only if it is a regular one, so that a pipe or a device can't block or flood the reader.
- `bounded_arrays`: npy and npz files, whose size is known before they are unpacked.
- `seal`: hashes, and checks that JSON values carry of themselves.
- `contained`: a folder whose files are opened only inside it, never through links.
"""
