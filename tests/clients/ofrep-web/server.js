// The running server as the ready file describes it, and its management API as an administrator uses it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const PROJECT_ENVIRONMENT = 'development';

/** Reads the ready file and makes sure that the server it names answers. */
export async function connect() {
  const file = process.env.FLAGSTONE_READY_FILE;
  if (!file) {
    throw new Error(
      'FLAGSTONE_READY_FILE is not set. These tests need a running server: use `cargo xtask test`, ' +
        'or start `flagstone serve --demo --ready-file FILE` and set FLAGSTONE_READY_FILE=FILE.',
    );
  }
  const { url, demo } = JSON.parse(readFileSync(file, 'utf8'));
  if (!demo) {
    throw new Error(`${file} has no "demo" member: start the server with --demo.`);
  }
  await fetch(`${url}/health`).catch((error) => {
    throw new Error(`No server answers at ${url}, which ${file} names.`, { cause: error });
  });
  return new Server(url, demo);
}

class Server {
  #demo;
  #cookie;

  constructor(url, demo) {
    this.url = url;
    this.#demo = demo;
  }

  get clientKey() {
    return this.#demo.keys[PROJECT_ENVIRONMENT].client;
  }

  /** Signs in as the demo's administrator and keeps the session's cookie. */
  async signIn() {
    const { email, password } = this.#demo;
    const response = await fetch(`${this.url}/api/auth/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ email, password }),
    });
    assert.equal(response.status, 200, `sign-in: ${await response.text()}`);
    this.#cookie = response.headers
      .getSetCookie()
      .map((cookie) => cookie.split(';', 1)[0])
      .join('; ');
    assert.notEqual(this.#cookie, '', 'sign-in sets a cookie');
  }

  /** The flag's own fields: variants, type and the rest. */
  async flag(key) {
    return (await this.#management('GET', `flags/${key}`)).body;
  }

  /** The flag's configuration in the environment of the client key, and its ETag. */
  configuration(key) {
    return this.#management('GET', `flags/${key}/environments/${PROJECT_ENVIRONMENT}`);
  }

  /** What the flag serves to a caller whom no target and no rule catches. */
  async fallthrough(key) {
    const { variants } = await this.flag(key);
    const { body } = await this.configuration(key);
    const variant = variants.find((variant) => variant.key === body.fallthrough.variant);
    assert.ok(variant, `${key}: the fallthrough names a variant`);
    return variant;
  }

  async setEnabled(key, enabled) {
    const { body, etag } = await this.configuration(key);
    const path = `flags/${key}/environments/${PROJECT_ENVIRONMENT}`;
    await this.#management('PUT', path, { ...body, enabled }, { 'If-Match': etag });
  }

  async #management(method, path, body, headers = {}) {
    const response = await fetch(`${this.url}/api/management/projects/${this.#demo.project}/${path}`, {
      method,
      headers: { Cookie: this.#cookie, 'Content-Type': 'application/json', ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return { body: text && JSON.parse(text), etag: response.headers.get('ETag') };
  }
}
