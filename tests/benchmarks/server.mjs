// A loopback chat endpoint for benchmarks: answers after a fixed delay, counts calls and peak in
// flight. Arguments: delay in milliseconds. Prints its port on the first line.
import { createServer } from "node:http";

const delay = Number(process.argv[2]);
let calls = 0;
let inFlight = 0;
let peak = 0;

function answer(response, body) {
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

const completion = JSON.stringify({
  id: "b", object: "chat.completion", model: "bench", system_fingerprint: "bench",
  choices: [{ index: 0, message: { role: "assistant", content: "safe" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 20, completion_tokens: 1, total_tokens: 21 },
});

const server = createServer((request, response) => {
  if (request.url === "/stats") {
    answer(response, JSON.stringify({ calls, peak }));
    calls = 0;
    peak = 0;
    return;
  }
  if (!request.url.endsWith("/chat/completions")) {
    response.writeHead(404).end();
    return;
  }
  request.resume();
  request.on("end", () => {
    calls += 1;
    inFlight += 1;
    peak = Math.max(peak, inFlight);
    setTimeout(() => {
      inFlight -= 1;
      answer(response, completion);
    }, delay);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", 4096, () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
