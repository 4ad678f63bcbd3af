// Ends Azurite when its standard input ends, and takes its temporary folder away: the lab holds the other end of that
// pipe, so the kernel closes it however the lab goes, SIGKILL included, and nothing is ever left behind.
//
// It also leaves out the telemetry client that Azurite requires whether or not it may send anything: we start it with
// --disableTelemetry, and that client is two thirds of the modules that it would load.
"use strict";

const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");

const folder = process.env.LAB_FOLDER ?? "";

// Azurite may be writing into it at that moment, in a thread: then it is not empty yet, or is there again.
function takeAway() {
  for (let left = 20; left > 0 && fs.existsSync(folder); left--) {
    try {
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 10 });
    } catch {}
  }
}

function end() {
  if (path.basename(folder).startsWith("lab-azurite-")) {
    process.chdir("/");
    takeAway();
    process.once("exit", takeAway);
  }
  process.exit(0);
}

process.stdin.once("end", end).once("close", end).once("error", end).resume();

const load = Module._load;
Module._load = (name, ...more) => (name === "applicationinsights" ? {} : load(name, ...more));
