// The OpenFeature web SDK with its OFREP provider, as a browser uses it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';

import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { ErrorCode, OpenFeature, ProviderEvents, StandardResolutionReasons } from '@openfeature/web-sdk';
import { EventSource } from 'eventsource';

import { connect } from './server.js';

const DEADLINE_MS = 10_000;

/** A browser's EventSource that remembers its instances, so that a test can wait until a stream is open. */
class ObservedEventSource extends EventSource {
  static opened = [];

  constructor(url) {
    super(url);
    ObservedEventSource.opened.push(once(this, 'open', { signal: AbortSignal.timeout(DEADLINE_MS) }));
  }
}
globalThis.EventSource = ObservedEventSource;

let server;
let domains = 0;

before(async () => {
  server = await connect();
  await server.signIn();
});

after(() => OpenFeature.close());

/** A client of its own: an OpenFeature domain with one provider that never polls. */
async function client(context, key = server.clientKey) {
  const domain = `test-${(domains += 1)}`;
  const requests = [];
  const provider = new OFREPWebProvider({
    baseUrl: server.url,
    headers: [['Authorization', `Bearer ${key}`]],
    pollInterval: 0,
    cacheMode: 'disabled',
    fetchImplementation: (...request) => {
      requests.push(request);
      return fetch(...request);
    },
  });
  await OpenFeature.setProviderAndWait(domain, provider, context);
  return { domain, requests, flags: OpenFeature.getClient(domain) };
}

/** Resolves once the SDK reports that `flag` changed. */
function changed(flags, flag) {
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(
      () => reject(new Error(`${flag}: no change reported within ${DEADLINE_MS} ms`)),
      DEADLINE_MS,
    );
    const handler = ({ flagsChanged = [] }) => {
      if (flagsChanged.includes(flag)) {
        clearTimeout(deadline);
        flags.removeHandler(ProviderEvents.ConfigurationChanged, handler);
        resolve();
      }
    };
    flags.addHandler(ProviderEvents.ConfigurationChanged, handler);
  });
}

for (const [key, read] of [
  ['banner-text', (flags) => flags.getStringDetails('banner-text', 'the caller’s default')],
  ['max-items', (flags) => flags.getNumberDetails('max-items', -1)],
  ['theme', (flags) => flags.getObjectDetails('theme', { of: 'the caller' })],
]) {
  test(`${key} has the value and variant that management shows`, async () => {
    const { flags } = await client({ targetingKey: 'ada' });
    const details = read(flags);
    const expected = await server.fallthrough(key);
    assert.equal(details.errorCode, undefined, details.errorMessage);
    assert.deepEqual(details.value, expected.value);
    assert.equal(details.variant, expected.key);
    assert.equal(details.reason, StandardResolutionReasons.STATIC);
  });
}

test('max-items is an integer', async () => {
  const { flags } = await client({ targetingKey: 'ada' });
  assert.ok(Number.isInteger(flags.getNumberValue('max-items', 0.5)));
});

test('a change of plan changes the answer for the same person', async () => {
  const { domain, flags } = await client({ targetingKey: 'ada', plan: 'free' });
  const free = flags.getBooleanDetails('beta-search', true);
  assert.equal(free.value, false);
  assert.equal(free.reason, StandardResolutionReasons.DEFAULT);

  await OpenFeature.setContext(domain, { targetingKey: 'ada', plan: 'pro' });
  const pro = flags.getBooleanDetails('beta-search', false);
  assert.equal(pro.value, true);
  assert.equal(pro.reason, StandardResolutionReasons.TARGETING_MATCH);

  await OpenFeature.setContext(domain, { targetingKey: 'ada', plan: 'free' });
  assert.equal(flags.getBooleanValue('beta-search', true), false);
});

test('a rollout answers the same person the same way, and says how', async () => {
  for (const targetingKey of ['ada', 'grace', 'edsger', 'barbara']) {
    const first = (await client({ targetingKey })).flags.getBooleanDetails('new-checkout', false);
    const second = (await client({ targetingKey })).flags.getBooleanDetails('new-checkout', true);
    assert.equal(first.errorCode, undefined, first.errorMessage);
    assert.equal(first.value, second.value);
    assert.equal(first.variant, second.variant);
    const reasons = [StandardResolutionReasons.SPLIT, StandardResolutionReasons.DEFAULT];
    assert.ok(reasons.includes(first.reason), first.reason);
  }
});

test('a flag that nobody made is the default, with FLAG_NOT_FOUND', async () => {
  const { flags } = await client({ targetingKey: 'ada' });
  const details = flags.getStringDetails('nobody-made-this', 'mine');
  assert.equal(details.value, 'mine');
  assert.equal(details.errorCode, ErrorCode.FLAG_NOT_FOUND);
});

test('a wrong key is refused when the client starts', async () => {
  const wrong = `fs_cli_${'A'.repeat(43)}`;
  await assert.rejects(client({ targetingKey: 'ada' }, wrong), { code: ErrorCode.PROVIDER_FATAL });
});

test('a flip reaches the client over its event stream, without polling', async () => {
  ObservedEventSource.opened.length = 0;
  const { flags, requests } = await client({ targetingKey: 'ada' });
  assert.equal(ObservedEventSource.opened.length, 1, 'the answer names one event stream');
  await ObservedEventSource.opened[0];
  assert.equal(requests.length, 1, 'one request before the flip');
  assert.equal(flags.getStringDetails('banner-text', '').reason, StandardResolutionReasons.STATIC);

  let report = changed(flags, 'banner-text');
  await server.setEnabled('banner-text', false);
  try {
    await report;
    assert.equal(flags.getStringDetails('banner-text', '').reason, StandardResolutionReasons.DISABLED);
  } finally {
    report = changed(flags, 'banner-text');
    await server.setEnabled('banner-text', true);
  }
  await report;
  assert.equal(flags.getStringDetails('banner-text', '').reason, StandardResolutionReasons.STATIC);
  assert.equal(requests.length, 3, 'one request for each of the two events');
});
