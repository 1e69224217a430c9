"""The classifiers of the npm package nsfwjs, as ONNX files in the model cache.

::

    package.tgz --archive--> scripts --javascript--> topology, bytes --weights, graph--> ONNX --making--> cache

Nothing of the package is executed, and TensorFlow is not needed: the topology is read as data, and written with a map
of exactly the layer kinds that occur in it.
"""
