"""`python -m keras_deeplab.commands`: the console command without its script."""

from keras_deeplab.commands.group import main

main()
