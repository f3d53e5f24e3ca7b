// Twilio's and Plivo's own SDKs for Node, and signatures: reads {"carrier", "token", "method", "url", "nonce",
// "params", "signature"} lines and says for each whether the carrier's SDK accepts it; with the argument `sign`,
// the signature that the SDK makes.
"use strict";

const crypto = require("node:crypto");

const judges = {
  twilio: (r) => require("twilio").validateRequest(r.token, r.signature, r.url, r.params),
  plivo: (r) => require("plivo").validateV3Signature(r.method, r.url, r.nonce, r.token, r.signature, r.params),
};

// Plivo's has no function for it, but makes one to compare with what it is given.
const made = (judge, request) => {
  const digest = crypto.Hmac.prototype.digest;
  let signature;
  crypto.Hmac.prototype.digest = function (encoding) {
    signature = digest.call(this, encoding);
    return signature;
  };
  try {
    judge({ ...request, signature: "" });
  } finally {
    crypto.Hmac.prototype.digest = digest;
  }
  return signature;
};

const signers = {
  twilio: (r) => require("twilio").getExpectedTwilioSignature(r.token, r.url, r.params),
  plivo: (r) => made(judges.plivo, r),
};

const signs = process.argv[2] === "sign";
const lines = require("node:fs").readFileSync(0, "utf8").split("\n");
for (const line of lines.filter((line) => line.trim())) {
  const request = JSON.parse(line);
  const { carrier } = request;
  console.log(signs ? JSON.stringify(signers[carrier](request)) : judges[carrier](request) === true);
}
