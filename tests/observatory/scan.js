// Grades pages of a running server with Mozilla's HTTP Observatory, and prints what it says of each as one JSON object.
//
//     node scan.js HOST HTTP_PORT HTTPS_PORT PATH…
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";

const [host, httpPort, httpsPort, ...pages] = process.argv.slice(2);

// The scanner knows a site by its name alone, on ports 80 and 443. Of all connections only these are made, to loopback.
const ports = new Map([[80, Number(httpPort)], [443, Number(httpsPort)]]);
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  const port = ports.get(Number(options.port));
  if (options.host !== host || port === undefined) {
    throw new Error(`the scanner asked for ${options.host}:${options.port}`);
  }
  options.host = "127.0.0.1";
  options.port = port;
  return connect.apply(this, given);
};

// The names that browsers know to be https only, which its install script fetches: here nobody is on that list.
const scanner = path.dirname(createRequire(import.meta.url).resolve("@mdn/mdn-http-observatory/package.json"));
const list = path.join(scanner, "conf/hsts-preload.json");
fs.mkdirSync(path.dirname(list), { recursive: true });
// Put there whole: another scan may be reading it.
fs.writeFileSync(`${list}.${process.pid}`, "{}");
fs.renameSync(`${list}.${process.pid}`, list);

const { scan } = await import("@mdn/mdn-http-observatory");
const grades = {};
for (const page of pages) {
  try {
    // It puts the scheme before what it is given and takes the whole for the address.
    const { scan: sum, tests } = await scan(host + page);
    const results = Object.fromEntries(Object.entries(tests).map(([name, test]) => [name, test.result]));
    grades[page] = { grade: sum.grade, score: sum.score, failed: sum.testsFailed, results };
  } catch (error) {
    grades[page] = { error: error.message };
  }
}
console.log(JSON.stringify(grades));
