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

function end() {
  if (path.basename(folder).startsWith("lab-azurite-")) {
    process.chdir("/");
    fs.rmSync(folder, { recursive: true, force: true });
  }
  process.exit(0);
}

process.stdin.once("end", end).once("close", end).once("error", end).resume();

const load = Module._load;
Module._load = (name, ...more) => (name === "applicationinsights" ? {} : load(name, ...more));
