# SPDX-License-Identifier: Apache-2.0
"""containers - the files in a store's data/, and those that its manifests name."""
import json
import os


def named(store):
    """The containers that are named by a manifest: of parts, of pieces in flight, of state."""
    found = set()
    for folder in os.listdir(os.path.join(store, "checkpoints")):
        path = os.path.join(store, "checkpoints", folder, "MANIFEST.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                tasks = json.load(file)["tasks"]
            blobs = [blob for task in tasks for blob in (task["part"], *task["inflight"])]
            places = [(blob["epoch"], blob["number"]) for blob in blobs]
            for text in (text for task in tasks for text in task["state"]):
                words = text.split()  # a list has four more, the first container first
                first = words[12] if len(words) > 12 else words[2]
                places += [(words[1], n) for n in range(int(first), int(words[2]) + 1)]
            found |= {"%010d-%020d.seg" % (int(epoch), int(number)) for epoch, number in places}
    return found


def there(store):
    return set(os.listdir(os.path.join(store, "data")))
