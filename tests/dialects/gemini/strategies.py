"""Gemini bodies made by chance: requests, answers, and the same answers cut into chunks."""

import copy
import json

from hypothesis import strategies as st

HARD = [
    "\n\nevent: error\ndata: {}\n\n",
    "\r\n\r\n",
    "\u2028",
    "data: {}",
    "\ufeff",
    "é🙂",
    "\x00",
    '"\\',
    "} ] {",
    '"error"',
]
text = st.one_of(st.text(max_size=12), st.sampled_from(HARD))
some_text = text.filter(bool)
words = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
names = st.from_regex(r"[a-z][a-zA-Z0-9]{0,8}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
values = json_values.filter(lambda value: value is not None)
objects = st.dictionaries(words, json_values, max_size=3)
tokens = st.sampled_from(["QUJD", "CiQBjz1rX4m2", "a-_b"])


def _object(required, optional=None):
    return st.fixed_dictionaries(required, optional=optional or {})


around = {"thoughtSignature": tokens, "partMetadata": objects, "futureMember": values}
texts = _object({"text": text}, {**around, "thought": st.booleans()})
blobs = _object(
    {"data": st.sampled_from(["QUJD", "data:image/png;base64,QUJD"])},
    {
        "mimeType": st.sampled_from(["image/png", "audio/wav", "video/mp4", "application/pdf", "x"]),
        "displayName": words,
        "xIn": values,
    },
)
inlines = _object(
    {"inlineData": blobs},
    {
        **around,
        "mediaResolution": _object(
            {},
            {"level": st.sampled_from(["MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_HIGH", "X"]), "numTokens": st.just(3)},
        ),
        "videoMetadata": objects,
    },
)
files = _object(
    {
        "fileData": _object(
            {"fileUri": st.sampled_from(["gs://b/o", "files/a", "https://x.test/a.png", "https://youtu.be/x", ""])},
            {"mimeType": st.just("image/png"), "displayName": words},
        )
    },
    around,
)
ids = st.sampled_from(["c1", "c2", "epc_x", ""])
calls = _object(
    {
        "functionCall": _object(
            {"name": st.one_of(words, text)},
            {"id": ids, "args": objects, "willContinue": st.just(False), "xCall": values},
        )
    },
    around,
)
results = _object(
    {
        "functionResponse": _object(
            {},
            {
                "name": words,
                "id": ids,
                "response": st.one_of(objects, _object({"output": json_values}), _object({"error": text})),
                "parts": st.lists(st.one_of(inlines, files, _object({"x": values})), max_size=2),
                "scheduling": st.just("SILENT"),
                "willContinue": st.booleans(),
            },
        )
    },
    around,
)
servers = st.one_of(
    _object({"executableCode": _object({"code": text}, {"language": st.just("PYTHON"), "id": words})}, around),
    _object(
        {
            "codeExecutionResult": _object(
                {"outcome": st.sampled_from(["OUTCOME_OK", "OUTCOME_FAILED"])}, {"output": text, "id": words}
            )
        },
        around,
    ),
    _object({"toolCall": _object({"toolType": words}, {"id": words, "args": objects})}, around),
    _object({"toolResponse": _object({"toolType": words}, {"id": words, "response": objects})}, around),
)
odd = st.one_of(
    _object({"futurePart": values}), _object({}), _object({"thoughtSignature": tokens}, {"thought": st.booleans()})
)
model_parts = st.one_of(texts, inlines, calls, servers, odd)
parts = st.one_of(texts, inlines, files, calls, results, servers, odd)
contents = st.one_of(
    _object(
        {"parts": st.lists(parts, max_size=4)},
        {"role": st.sampled_from(["user", "model", "function"]), "futureMember": values},
    ),
    st.just({"role": "model"}),
)
schemas = st.recursive(
    _object(
        {"type": st.sampled_from(["STRING", "integer", "BOOLEAN", "NUMBER"])},
        {"nullable": st.booleans(), "description": text, "enum": st.lists(words)},
    ),
    lambda inner: st.one_of(
        _object(
            {"type": st.just("OBJECT"), "properties": st.dictionaries(words, inner, max_size=3)},
            {"required": st.lists(words)},
        ),
        _object({"type": st.just("ARRAY"), "items": inner}),
    ),
    max_leaves=4,
)
declarations = _object(
    {"name": words},
    {
        "description": text,
        "parameters": schemas,
        "parametersJsonSchema": objects,
        "behavior": st.just("BLOCKING"),
        "futureMember": values,
    },
)
tools = st.lists(
    st.one_of(
        _object({"functionDeclarations": st.lists(declarations, min_size=1, max_size=3)}, {"googleSearch": objects}),
        _object({"codeExecution": objects}),
        _object({"urlContext": objects, "futureTool": objects}),
    ),
    max_size=3,
)
modes = _object(
    {},
    {
        "mode": st.sampled_from(["AUTO", "ANY", "NONE", "VALIDATED", "NEW"]),
        "allowedFunctionNames": st.lists(words, max_size=3),
        "streamFunctionCallArguments": st.booleans(),
    },
)
thinking = _object(
    {},
    {
        "includeThoughts": st.booleans(),
        "thinkingBudget": st.integers(-1, 100),
        "thinkingLevel": st.sampled_from(["LOW", "high", "THINKING_LEVEL_UNSPECIFIED"]),
        "futureKnob": values,
    },
)
small = st.integers(0, 9)
config = _object(
    {},
    {
        "temperature": st.floats(0, 2),
        "topP": st.floats(0, 1),
        "topK": small,
        "candidateCount": small,
        "maxOutputTokens": small,
        "stopSequences": st.lists(text, max_size=3),
        "seed": small,
        "presencePenalty": st.floats(-2, 2),
        "frequencyPenalty": small,
        "responseLogprobs": st.booleans(),
        "logprobs": small,
        "thinkingConfig": thinking,
        "responseMimeType": st.sampled_from(["application/json", "text/plain", "text/x.enum"]),
        "responseSchema": schemas,
        "responseJsonSchema": objects,
        "responseModalities": st.lists(st.sampled_from(["TEXT", "image"])),
        "speechConfig": objects,
        "imageConfig": objects,
        "responseFormat": st.lists(objects),
        "futureMember": values,
    },
)
requests = _object(
    {"contents": st.lists(contents, max_size=4)},
    {
        "systemInstruction": _object(
            {"parts": st.lists(texts, max_size=2)}, {"role": st.sampled_from(["user", "system", "model"])}
        ),
        "tools": tools,
        "toolConfig": _object({}, {"functionCallingConfig": modes, "retrievalConfig": objects}),
        "generationConfig": config,
        "safetySettings": st.lists(objects, max_size=2),
        "cachedContent": words,
        "labels": objects,
        "serviceTier": words,
        "store": st.booleans(),
        "futureMember": json_values,
    },
)

counts = st.integers(0, 10**6)
modalities = st.lists(
    _object({"modality": st.sampled_from(["TEXT", "AUDIO", "IMAGE"])}, {"tokenCount": counts}), max_size=3
)
usages = _object(
    {"promptTokenCount": counts},
    {
        "candidatesTokenCount": counts,
        "thoughtsTokenCount": counts,
        "toolUsePromptTokenCount": counts,
        "cachedContentTokenCount": counts,
        "totalTokenCount": counts,
        "promptTokensDetails": modalities,
        "candidatesTokensDetails": modalities,
        "trafficType": st.sampled_from(["ON_DEMAND", "ON_DEMAND_FLEX"]),
    },
)
reasons = st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "OTHER", "MALFORMED_FUNCTION_CALL", "NEW"])
beside = {
    "safetyRatings": st.lists(objects, max_size=1),
    "avgLogprobs": st.floats(-9, 0),
    "futureMember": values,
    "finishMessage": text,
}


@st.composite
def answers(draw):
    """An answer whose stream says the same: no empty plain text, no two neighbours of one kind."""
    candidates = []
    for index in range(draw(st.integers(1, 2))):
        chosen = draw(st.lists(model_parts, max_size=4))
        kept = []
        for part in chosen:
            if not _fits(part, kept[-1] if kept else None):
                continue
            kept.append(part)
        candidate = {"content": {"parts": kept, "role": "model"}, "finishReason": draw(reasons), "index": index}
        candidates.append({**candidate, **draw(_object({}, beside))})
    return {"candidates": candidates, "usageMetadata": draw(usages), "modelVersion": "m", "responseId": "r"}


def _plain(part):
    """The kind of a text that goes on in a stream: text or thought; None for every other part."""
    return None if "text" not in part or part.keys() - {"text", "thought"} else bool(part.get("thought"))


def _fits(part, before):
    if "text" in part:
        if part.get("thought") is False or ("thought" in part and "thoughtSignature" in part):
            return False
        if not part["text"]:
            return False
    return _plain(part) is None or before is None or _plain(before) != _plain(part)


def cut(answer, sizes):
    """The answer as chunks: texts in pieces, everything else whole, the end in the last chunk."""
    chunks = []
    for candidate in answer["candidates"]:
        for part in candidate["content"]["parts"]:
            for piece in _pieces(part, sizes):
                chunks.append({"content": {"parts": [piece], "role": "model"}, "index": candidate["index"]})
    for candidate in answer["candidates"]:
        end = copy.deepcopy(candidate)
        end["content"] = {"parts": [], "role": "model"}
        chunks.append(end)
    frames = [{"candidates": [chunk], "modelVersion": "m", "responseId": "r"} for chunk in chunks]
    frames[-1]["usageMetadata"] = answer["usageMetadata"]
    return frames


def _pieces(part, size):
    if _plain(part) is None or len(part["text"]) < 2:
        return [part]
    whole = part["text"]
    return [{**part, "text": whole[at : at + size]} for at in range(0, len(whole), size)]


def sse(frames, newline=b"\r\n"):
    return b"".join(b"data: " + json.dumps(frame, ensure_ascii=False).encode() + newline * 2 for frame in frames)


def array(frames):
    return b"[" + b"\n,\r\n".join(json.dumps(frame, ensure_ascii=False).encode() for frame in frames) + b"\n]\n"
