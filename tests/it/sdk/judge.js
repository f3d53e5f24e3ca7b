// Twilio's and Plivo's own SDKs for Node as judges of signatures: reads {"carrier", "token", "method", "url",
// "nonce", "params", "signature"} lines and says for each whether the carrier's SDK accepts it.
"use strict";

const judges = {
  twilio: (r) => require("twilio").validateRequest(r.token, r.signature, r.url, r.params),
  plivo: (r) => require("plivo").validateV3Signature(r.method, r.url, r.nonce, r.token, r.signature, r.params),
};

const lines = require("node:fs").readFileSync(0, "utf8").split("\n");
for (const line of lines.filter((line) => line.trim())) {
  const request = JSON.parse(line);
  console.log(judges[request.carrier](request) === true);
}
