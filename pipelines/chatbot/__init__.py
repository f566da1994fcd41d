"""chatbot: a chat model of one's own, trained from nothing or tuned from published weights."""
