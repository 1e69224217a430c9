"""The kinds of stores: folders of this machine and of others, buckets, pict-rs."""
