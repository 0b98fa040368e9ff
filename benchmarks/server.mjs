// A loopback chat endpoint for benchmarks: answers after a fixed delay, counts calls and peak in
// flight. Arguments: delay in milliseconds; `read` for one that reads what it is asked: it answers
// with the text of the messages, rejects a request that says `poison`, and counts equal requests;
// what to answer otherwise, where NUMBER stands for the number of the call. Prints its port on the
// first line.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const delay = Number(process.argv[2]);
const reads = process.argv[3] === "read";
let calls = 0;
let inFlight = 0;
let peak = 0;
let asked = 0;
let rejected = 0;
const seen = new Set();

function answer(response, body, status = 200) {
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function completion(text) {
  return JSON.stringify({
    id: "b", object: "chat.completion", created: 0, model: "bench", system_fingerprint: "bench",
    choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
    usage: { prompt_tokens: 20, completion_tokens: 1, total_tokens: 21 },
  });
}

function plain(content) {
  return typeof content === "string" ? content : content.map((part) => part.text).join("");
}

const FIXED = completion(process.argv[4] ?? "safe").split("NUMBER");
const REJECTION = JSON.stringify({ error: { message: "poison", type: "BadRequestError", code: 400 } });

function handle(response, parts) {
  calls += 1;
  inFlight += 1;
  peak = Math.max(peak, inFlight);
  let status = 200;
  let body = FIXED.join(calls);
  if (reads) {
    const request = Buffer.concat(parts);
    asked += 1;
    seen.add(createHash("sha256").update(request).digest("base64"));
    const text = JSON.parse(request).messages.map((message) => plain(message.content)).join("\n");
    [status, body] = text.includes("poison") ? [400, REJECTION] : [200, completion(text)];
    rejected += status === 400;
  }
  setTimeout(() => {
    inFlight -= 1;
    answer(response, body, status);
  }, delay);
}

const server = createServer((request, response) => {
  if (request.url === "/stats") {
    answer(response, JSON.stringify({ calls, peak }));
    calls = 0;
    peak = 0;
    return;
  }
  if (request.url === "/bodies") {
    answer(response, JSON.stringify({ asked, distinct: seen.size, rejected, inFlight }));
    return;
  }
  if (request.url === "/v1/models") {
    answer(response, JSON.stringify({ object: "list", data: [{ id: "bench", object: "model" }] }));
    return;
  }
  if (!request.url.endsWith("/chat/completions")) {
    response.writeHead(404).end();
    request.resume();
    return;
  }
  const parts = [];
  if (reads) request.on("data", (part) => parts.push(part));
  else request.resume();
  request.on("end", () => handle(response, parts));
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", 4096, () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
