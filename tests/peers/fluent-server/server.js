// The FluentServer of @fluent-org/logger as a process of its own: `node server.js settings.json`.
// The settings hold `options` (its own: listenOptions, security, tlsOptions with files' contents) and `entries`, the
// file to which each entry is appended as a line of JSON: [tag, seconds, nanoseconds, record].
"use strict";

const fs = require("fs");
const { FluentServer } = require("@fluent-org/logger");

const { options, entries } = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const server = new FluentServer(options);
server.on("entry", (tag, time, record) => {
  const [seconds, nanoseconds] = typeof time === "number" ? [time, 0] : [time.epoch, time.nano];
  fs.appendFileSync(entries, JSON.stringify([tag, seconds, nanoseconds, record]) + "\n");
});
server.listen().then(() => console.log(`listens on ${server.port}`));
