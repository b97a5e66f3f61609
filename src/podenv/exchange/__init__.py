"""Where the tables, files and large values of tasks are kept: a folder, or a bucket of an object store.

Whoever starts a task signs addresses for it, each for one object; the task itself has no credentials. What it does
with them is the runtime's (`podenv.runtime.exchange`).
"""
