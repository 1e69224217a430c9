"""Every picture of a store, scanned: pict-rs's, a folder's, a bucket's, another machine's."""
