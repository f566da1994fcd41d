// The JavaScript clients of record.py: node --input-type=module - <client> <address>, in a folder with node_modules.
const [client, address] = process.argv.slice(2);
const model = "mini_gpt";
const user = { role: "user", content: "abc" };
const messages = [{ role: "system", content: "j" }, user, { role: "assistant", content: "d" }, { role: "user", content: "e" }];
const tool = { type: "function", function: { name: "look", description: "", parameters: { type: "object", properties: {} } } };

async function read(stream) {
  for await (const _ of stream);
}

// As Continue's editor extension fills its adapter: core/llm/openaiTypeConverters.ts, toChatBody and toCompleteBody.
async function continuedev() {
  const { constructLlmApi } = await import("@continuedev/openai-adapters");
  const api = constructLlmApi({ provider: "openai", apiKey: "none", apiBase: `${address}/` });
  const { signal } = new AbortController();
  const options = { model, max_tokens: 8, temperature: 0.5, top_p: undefined, frequency_penalty: undefined,
                    presence_penalty: undefined, stop: ["a", "b", "c", "d"], prediction: undefined, tools: undefined };
  await read(api.chatCompletionStream({ ...options, messages, stream: true }, signal));
  await api.chatCompletionNonStream({ ...options, messages, stream: false }, signal);
  await read(api.chatCompletionStream({ ...options, messages: [{ role: "user", content: [{ type: "text", text: "abc" }] }],
                                       stream: true }, signal));
  await read(api.chatCompletionStream({ ...options, messages, stream: true, tools: [tool] }, signal));
  await read(api.completionStream({ ...options, prompt: "abc", stream: true }, signal));
  await api.completionNonStream({ ...options, prompt: "abc", stream: false }, signal);
  await api.embed({ model, input: ["abc", "j"] });
}

async function vercel() {
  const { createOpenAI } = await import("@ai-sdk/openai");
  const { generateText, streamText, embedMany } = await import("ai");
  for (const compatibility of ["compatible", "strict"]) {
    const provider = createOpenAI({ baseURL: address, apiKey: "none", compatibility });
    const settings = { messages, temperature: 0.5, topP: 0.9, maxTokens: 8, seed: 1, maxRetries: 0 };
    await generateText({ model: provider.chat(model), ...settings });
    await read(streamText({ model: provider.chat(model), ...settings }).textStream);
    await generateText({ model: provider.completion(model), prompt: "abc", maxTokens: 8, maxRetries: 0 });
    await read(streamText({ model: provider.completion(model), prompt: "abc", maxRetries: 0 }).textStream);
    await embedMany({ model: provider.embedding(model), values: ["abc", "j"], maxRetries: 0 });
  }
}

await { Continue: continuedev, "Vercel's AI SDK": vercel }[client]();
