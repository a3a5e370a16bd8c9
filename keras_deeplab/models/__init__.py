"""What a network is: the table of variants, backbones, ASPP, decoder, heads, and the builder."""
