// What helmet sets: `/` with its defaults, or with the options that the request's header `x-options` has as JSON; `/bare`
// without it. Prints its port.
import express from "express";
import helmet from "helmet";

const app = express();
app.all("/bare", (_request, response) => response.json({}));
app.use((request, response, next) => helmet(JSON.parse(request.get("x-options") ?? "{}"))(request, response, next));
app.all("/", (_request, response) => response.json({}));
app.use((_request, response) => response.status(404).json({}));
const listener = app.listen(0, "127.0.0.1", () => console.log(listener.address().port));
