"""Python: a trained run as an object, arrays or files in, arrays out. `tfunc.load` and its neighbours are here.

Above all other rooms: it does what the programs do, without their files. Importing it imports no TensorFlow.
"""
