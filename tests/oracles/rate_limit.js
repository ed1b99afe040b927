// Paths limited by express-rate-limit, with the options that the argument has as JSON: { path: options }. Prints its port.
import express from "express";
import { rateLimit } from "express-rate-limit";

const app = express();
app.set("trust proxy", "loopback");
for (const [path, options] of Object.entries(JSON.parse(process.argv[2]))) {
  app.all(path, rateLimit(options), (_request, response) => response.json({}));
}
const listener = app.listen(0, "127.0.0.1", () => console.log(listener.address().port));
