"""Translation over HTTP: a text in, its translation out, and on request what each of its words looked at. No torch."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from tokenizers import Encoding, Tokenizer

from roadmap import bundle
from roadmap.bundle import Bundle
from roadmap.bundle.predictor import Note
from roadmap.inference.seq2seq.beam import BEGIN, PAD, Hypothesis, Translator

MOST = 5_000  # characters of a text
ROWS = 4_096  # hypotheses times source tokens that are decoded together, to bound the memory
BEAM, ALPHA = 4, 0.6  # of the paper, section 6.1
UNKNOWN = 3
SHOWN = 10  # unknown characters that a note names
SPACE = "\u2581"  # how the tokenizer writes one


def has_words(text: str) -> str:
    """The text unchanged.

    Raises:
        ValueError: it is blank.
    """
    if not text.strip():
        raise ValueError("should hold more than white space")
    return text


Text = Annotated[str, Field(strict=True, min_length=1, max_length=MOST), AfterValidator(has_words)]


class Input(BaseModel):
    """A request; `Predictor.Request` has an example too."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(description=f"to be translated, at most {MOST:,} characters")
    beam: int = Field(default=BEAM, ge=1, le=16, strict=True, description="width of the beam search; 1 is greedy")
    length_penalty: float = Field(
        default=ALPHA, ge=0, le=2, allow_inf_nan=False, description="alpha of Wu et al. (2016); larger for longer texts"
    )
    attention: bool = Field(
        default=False, strict=True, description="whether to return what each word looked at in the source"
    )


class Attention(BaseModel):
    """From words of the translation to words of the text. Tokens of one word, and their weights, are taken together."""

    source: list[str]
    target: list[str]
    weights: list[list[float]] = Field(description="[target][source]; the rest to 1 is the source's end")


class Translation(BaseModel):
    translation: str
    score: float = Field(description="log-probability of the translation, divided by the length penalty")
    read: int = Field(ge=0, description="characters read; of a longer text the rest is left out")
    attention: Attention | None = Field(description="null unless asked for, or if the network has none")


class Predictor(bundle.Predictor[Input, Translation]):
    Response = Translation
    max_inputs = 256

    def __init__(self, bundle: Bundle) -> None:
        self.Request = create_model("translation_request", __base__=Input)
        self.Request.model_config["json_schema_extra"] = {"example": bundle.example[0]}
        self.tokenizer = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
        schema = bundle.json("schema.json")
        self.corpus: str = schema["corpus"]
        self.most: int = schema["max_tokens"]
        encoder, decoder = (bundle.session(f"{name}.onnx") for name in ("encoder", "decoder"))
        self.translator = Translator(encoder, decoder, never=(PAD, BEGIN, UNKNOWN))

    def predict(self, inputs: Sequence[Input]) -> list[Translation]:
        encodings = self.encode([request.text for request in inputs])
        answers: dict[int, Translation] = {}
        for rows in self.batches(inputs, encodings):
            first = inputs[rows[0]]
            sources = [encodings[row].ids for row in rows]
            found = self.translator.translate(
                sources, [self.most] * len(rows), first.beam, first.length_penalty, first.attention
            )
            for row, hypotheses in zip(rows, found, strict=True):
                answers[row] = self.response(inputs[row].text, encodings[row], hypotheses[0])
        return [answers[row] for row in range(len(inputs))]

    def encode(self, texts: list[str]) -> list[Encoding]:
        """The tokens that are read: at most `most` of each text."""
        encodings: list[Encoding] = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        for encoding in encodings:
            encoding.truncate(self.most)
        return encodings

    def batches(self, inputs: Sequence[Input], encodings: list[Encoding]) -> Iterator[list[int]]:
        """Rows of like settings and lengths."""
        groups: dict[tuple[int, float, bool], list[int]] = {}
        for row, request in enumerate(inputs):
            groups.setdefault((request.beam, request.length_penalty, request.attention), []).append(row)
        for (beam, _, _), rows in groups.items():
            batch: list[int] = []
            for row in sorted(rows, key=lambda row: -len(encodings[row].ids)):
                if batch and (len(batch) + 1) * beam * len(encodings[batch[0]].ids) > ROWS:
                    yield batch
                    batch = []
                batch.append(row)
            yield batch

    def response(self, text: str, encoding: Encoding, found: Hypothesis) -> Translation:
        attention = None
        if found.attention is not None:
            attention = self.attention(text, encoding, found.tokens, found.attention)
        return Translation(
            translation=self.tokenizer.decode(found.tokens),
            score=round(found.score, 5),
            read=encoding.offsets[-1][1] if encoding.offsets else 0,
            attention=attention,
        )

    def attention(self, text: str, encoding: Encoding, written: list[int], weights: np.ndarray) -> Attention:
        """weights: [target tokens, source tokens]"""
        source = [text[start:end].strip() for start, end in encoding.offsets]
        pieces = [self.tokenizer.id_to_token(token) or "" for token in written]
        columns, rows = words(encoding.tokens), words(pieces)
        together = np.array([weights[row].mean(axis=0) for row in rows]).reshape(len(rows), weights.shape[1])
        summed = np.array([together[:, column].sum(axis=1) for column in columns]).T.reshape(len(rows), len(columns))
        return Attention(
            source=["".join(source[column]) for column in columns],
            target=["".join(pieces[row]).replace(SPACE, "") for row in rows],
            weights=[[round(float(weight), 4) for weight in row] for row in summed],
        )

    def notes(self, request: Input) -> list[Note]:
        """What of a text is not read: characters that training never met, and what is beyond the longest."""
        encoding = self.encode([request.text])[0]
        found = []
        strange = "".join(
            dict.fromkeys(
                char
                for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
                if token == UNKNOWN
                for char in request.text[start:end]
            )
        )
        if strange:
            more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
            detail = f"characters never met in training: {strange[:SHOWN]!r}{more}; they are read as unknown"
            found.append(Note("text", "unseen", detail))
        read = encoding.offsets[-1][1] if encoding.offsets else 0
        if request.text[read:].strip():
            detail = f"{read:,} of {len(request.text):,} characters are read, {self.most} tokens; translate it in parts"
            found.append(Note("text", "cut", detail))
        return found


def words(tokens: Sequence[str]) -> list[slice]:
    """The tokens of each word. A lone space, as before Chinese, goes with what follows."""
    starts = [
        place for place, token in enumerate(tokens) if not place or (begins_word(token) and tokens[place - 1] != SPACE)
    ]
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True)]


def begins_word(token: str) -> bool:
    """With a space, or as a Chinese character, digit or sign; a hyphen goes on."""
    letter = token.lstrip("-")[:1]
    return token.startswith(SPACE) or not letter.isalpha() or "\u2e80" <= letter <= "\ufaff"
