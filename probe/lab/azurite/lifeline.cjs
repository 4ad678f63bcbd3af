// Ends Azurite when its standard input ends: the lab holds the other end of that pipe, so the kernel closes it
// however the lab goes, SIGKILL included, and no emulator is ever left behind.
"use strict";

const end = () => process.exit(0);
process.stdin.once("end", end).once("close", end).once("error", end).resume();
