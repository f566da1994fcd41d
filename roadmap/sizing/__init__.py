"""What a language model costs before it is built: parameters, arithmetic, memory and speed, from its paper."""
