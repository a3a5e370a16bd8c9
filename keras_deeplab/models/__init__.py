"""Networks: the table of variants, backbones, ASPP, decoder, heads, and the builder."""
