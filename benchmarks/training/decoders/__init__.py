"""What each idea between GPT-2 and today's decoders is worth, measured on tiny-shakespeare."""
